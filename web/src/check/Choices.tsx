/** Which camera or microphone, where there are several: folded, because their names help few; open when one fails. */
import { t } from "../i18n";
import type { OwnDevice } from "./device";

export function Choices({ device, open }: { device: OwnDevice; open: boolean }) {
  const choices = device.choices.value;
  if (device.permission.value !== "allowed" || choices.length < 2) return null;
  const now = device.track.value?.getSettings().deviceId;
  const camera = device.kind === "camera";
  return (
    <details class="more" open={open}>
      <summary>{t(camera ? "check.other_camera" : "check.other_microphone")}</summary>
      <label class="field">
        <span>{t(camera ? "check.which_camera" : "check.which_microphone")}</span>
        <select value={now ?? ""} onChange={(event) => void device.ask(event.currentTarget.value)}>
          {choices.map((choice) => (
            <option key={choice.deviceId} value={choice.deviceId}>
              {choice.label}
            </option>
          ))}
        </select>
      </label>
    </details>
  );
}

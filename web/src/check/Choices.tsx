/** Which camera or microphone, where there are several. */
import { t } from "../i18n";
import type { OwnDevice } from "./device";

export function Choices({ device }: { device: OwnDevice }) {
  const choices = device.choices.value;
  if (device.permission.value !== "allowed" || choices.length < 2) return null;
  const now = device.track.value?.getSettings().deviceId;
  return (
    <label class="field">
      <span>{t(device.kind === "camera" ? "check.which_camera" : "check.which_microphone")}</span>
      <select value={now ?? ""} onChange={(event) => void device.ask(event.currentTarget.value)}>
        {choices.map((choice) => (
          <option key={choice.deviceId} value={choice.deviceId}>
            {choice.label}
          </option>
        ))}
      </select>
    </label>
  );
}

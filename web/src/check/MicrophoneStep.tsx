/** The microphone: a bar that follows the voice, and a word when a voice was heard. */
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { t } from "../i18n";
import { Asking } from "./CameraStep";
import type { Outcome } from "./CheckFlow";
import { Choices } from "./Choices";
import { DeviceTrouble, isTrouble } from "./DeviceTrouble";
import type { OwnDevice } from "./device";
import { LevelBar } from "./LevelBar";

export function MicrophoneStep({ device, onNext }: { device: OwnDevice; onNext: (outcome: Outcome) => void }) {
  const heard = useSignal(false);
  useEffect(() => {
    if (device.track.value === null) void device.openIfAllowed();
  }, []);
  const permission = device.permission.value;
  const track = device.track.value;
  return (
    <>
      {permission === "not_asked" && <p class="lead">{t("check.microphone_ask")}</p>}
      {permission === "asking" && <Asking />}
      {permission === "allowed" && (
        <>
          <p class="lead">{t("check.microphone_speak")}</p>
          {track !== null && (
            <LevelBar
              track={track}
              onVoice={() => {
                heard.value = true;
              }}
            />
          )}
          <p class={`heard ${heard.value ? "is-heard" : ""}`} role="status">
            {heard.value ? t("check.microphone_heard") : t("check.microphone_silent")}
          </p>
        </>
      )}
      <DeviceTrouble device={device} />
      <Choices device={device} />
      <div class="actions">
        {permission === "not_asked" && (
          <button type="button" class="big primary" onClick={() => void device.ask()}>
            {t("check.microphone_on")}
          </button>
        )}
        {permission === "allowed" && (
          <button type="button" class={`big ${heard.value ? "primary" : ""}`} onClick={() => onNext("works")}>
            {t("check.microphone_works")}
          </button>
        )}
        <button
          type="button"
          class="big"
          onClick={() => onNext(isTrouble(permission) || permission === "allowed" ? "fails" : "skipped")}
        >
          {permission === "allowed" ? t("check.microphone_not") : t("check.microphone_without")}
        </button>
      </div>
    </>
  );
}

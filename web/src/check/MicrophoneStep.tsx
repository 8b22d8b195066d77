/** The microphone: a bar that follows the voice, and a word when a voice was heard. */
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { t } from "../i18n";
import { AdviceBox, MICROPHONE_ADVICE } from "./Advice";
import { Asking } from "./CameraStep";
import { Choices } from "./Choices";
import { DeviceTrouble, isTrouble } from "./DeviceTrouble";
import type { OwnDevice } from "./device";
import { LevelBar } from "./LevelBar";
import type { Outcome } from "./outcomes";

export function MicrophoneStep({ device, onNext }: { device: OwnDevice; onNext: (outcome: Outcome) => void }) {
  const heard = useSignal(false);
  const answeredNo = useSignal(false);
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
      {permission === "allowed" && answeredNo.value && (
        <AdviceBox title="check.microphone_advice_title" lines={MICROPHONE_ADVICE} />
      )}
      <Choices device={device} open={answeredNo.value} />
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
        {permission === "allowed" && !answeredNo.value && (
          <button
            type="button"
            class="big"
            data-answer="no"
            onClick={() => {
              answeredNo.value = true;
            }}
          >
            {t("check.microphone_not")}
          </button>
        )}
        {permission === "allowed" && answeredNo.value && (
          <button type="button" class="big" onClick={() => void device.ask()}>
            {t("check.again")}
          </button>
        )}
        {(permission !== "allowed" || answeredNo.value) && (
          <button
            type="button"
            class="big"
            onClick={() => onNext(isTrouble(permission) || answeredNo.value ? "fails" : "skipped")}
          >
            {t("check.microphone_without")}
          </button>
        )}
      </div>
    </>
  );
}

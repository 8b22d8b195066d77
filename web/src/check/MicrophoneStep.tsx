/** The microphone: a bar that follows the voice, and a word when a voice was heard. */
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { t } from "../i18n";
import { MICROPHONE_ADVICE } from "./Advice";
import { Asking } from "./CameraStep";
import { DeviceAnswers } from "./DeviceAnswers";
import type { OwnDevice } from "./device";
import { LevelBar } from "./LevelBar";
import type { Outcome } from "./outcomes";

const WORDS = {
  on: "check.microphone_on",
  yes: "check.microphone_works",
  no: "check.microphone_not",
  without: "check.microphone_without",
  advice: "check.microphone_advice_title",
} as const;

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
      <DeviceAnswers device={device} onNext={onNext} noticed={heard.value} words={WORDS} advice={MICROPHONE_ADVICE} />
    </>
  );
}

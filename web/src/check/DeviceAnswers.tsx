/** Camera and microphone alike: why the device is not there, what to try, and the answers that lead on. */
import { useSignal } from "@preact/signals";
import { t } from "../i18n";
import type { Key } from "../i18n/keys";
import { AdviceBox } from "./Advice";
import { Choices } from "./Choices";
import { DeviceTrouble, isTrouble } from "./DeviceTrouble";
import type { OwnDevice } from "./device";
import type { Outcome } from "./outcomes";

interface DeviceAnswersProps {
  readonly device: OwnDevice;
  readonly onNext: (outcome: Outcome) => void;
  /** It is seen, or heard: "yes" is the answer to be expected. */
  readonly noticed: boolean;
  /** The words of the buttons, and above the advice. */
  readonly words: Readonly<Record<"on" | "yes" | "no" | "without" | "advice", Key>>;
  readonly advice: readonly Key[];
}

export function DeviceAnswers({ device, onNext, noticed, words, advice }: DeviceAnswersProps) {
  const answeredNo = useSignal(false);
  const permission = device.permission.value;
  return (
    <>
      <DeviceTrouble device={device} />
      {permission === "allowed" && answeredNo.value && <AdviceBox title={words.advice} lines={advice} />}
      <Choices device={device} open={answeredNo.value} />
      <div class="actions">
        {permission === "not_asked" && (
          <button type="button" class="big primary" onClick={() => void device.ask()}>
            {t(words.on)}
          </button>
        )}
        {permission === "allowed" && (
          <button type="button" class={`big ${noticed ? "primary" : ""}`} onClick={() => onNext("works")}>
            {t(words.yes)}
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
            {t(words.no)}
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
            {t(words.without)}
          </button>
        )}
      </div>
    </>
  );
}

/** Camera, microphone, speaker, line: one after the other, each of which may be passed over, and what came of it. */
import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useMemo } from "preact/hooks";
import { t } from "../i18n";
import type { Key } from "../i18n/keys";
import { Icon } from "../parts/Icon";
import { Heading, Phone } from "../visit/GuestShell";
import { Advice, CAMERA_ADVICE, MICROPHONE_ADVICE, SPEAKER_ADVICE } from "./Advice";
import { CameraStep } from "./CameraStep";
import { OwnDevice } from "./device";
import { LineStep } from "./LineStep";
import { Loopback } from "./loopback";
import { MicrophoneStep } from "./MicrophoneStep";
import { anyFails, anyTried, type Outcome, type Outcomes, STEPS, type Step, stepAfter, summaryOf } from "./outcomes";
import { SpeakerStep } from "./SpeakerStep";

const NAMES: Record<Step, Key> = {
  camera: "check.step_camera",
  microphone: "check.step_microphone",
  speaker: "check.step_speaker",
  line: "check.step_line",
};
const OUTCOMES: Record<Outcome, Key> = {
  works: "check.works",
  fair: "check.works_fair",
  fails: "check.fails",
  skipped: "check.skipped",
};

/** What one can try at home before asking anybody. */
const ADVICE: Record<Exclude<Step, "line">, readonly Key[]> = {
  camera: CAMERA_ADVICE,
  microphone: MICROPHONE_ADVICE,
  speaker: SPEAKER_ADVICE,
};

interface CheckFlowProps {
  /** Called with the name of every step that begins, and with "result". */
  readonly onStep: (name: string) => void;
  /** Called with what a finished check came to; not where everything was passed over. */
  readonly onDone?: (outcomes: Outcomes) => void;
  /** Whom to call when something does not work. */
  readonly phone?: string | undefined;
  /** What stands below the result: the way on. */
  readonly done: ComponentChildren;
}

export function CheckFlow({ onStep, onDone, phone, done }: CheckFlowProps) {
  const at = useSignal(0);
  const outcomes = useSignal<Outcomes>({});
  /** One step is tried again by itself. */
  const alone = useSignal(false);
  const camera = useMemo(() => new OwnDevice("camera"), []);
  const microphone = useMemo(() => new OwnDevice("microphone"), []);
  const loop = useMemo(() => new Loopback(), []);
  useEffect(
    () => () => {
      camera.close();
      microphone.close();
      void loop.stop();
    },
    [],
  );
  const next = (outcome: Outcome) => {
    const step = STEPS[at.value];
    if (step !== undefined) outcomes.value = { ...outcomes.value, [step]: outcome };
    go(stepAfter(at.value, alone.value));
    if (at.value === STEPS.length && anyTried(outcomes.value)) onDone?.(outcomes.value);
  };
  const go = (index: number) => {
    at.value = index;
    onStep(STEPS[index] ?? "result");
  };
  const again = (index: number, only: boolean) => {
    alone.value = only;
    go(index);
  };
  const step = STEPS[at.value];
  useEffect(() => {
    if (step !== undefined) return;
    camera.release();
    microphone.release();
  }, [step]);
  if (step === undefined) {
    return (
      <section class="column" data-step="result">
        <Heading>{t("check.result_title")}</Heading>
        <ul class="outcomes">
          {STEPS.map((one, index) => {
            const outcome = outcomes.value[one] ?? "skipped";
            return (
              <li key={one} class={`is-${outcome}`} data-outcome={outcome} data-of={one}>
                <Icon name={outcome === "works" ? "check" : outcome === "skipped" ? "forward" : "warning"} />
                <span>{t(NAMES[one])}</span>
                <strong>{t(OUTCOMES[outcome])}</strong>
                {outcome === "fails" && (
                  <div class="outcome-advice">
                    {one !== "line" && <Advice lines={ADVICE[one]} />}
                    <button type="button" class="big" data-again={one} onClick={() => again(index, true)}>
                      {t("check.again_one", { device: one })}
                    </button>
                  </div>
                )}
              </li>
            );
          })}
        </ul>
        <p class="lead">{t(summaryOf(outcomes.value))}</p>
        {done}
        {anyFails(outcomes.value) && <Phone number={phone} words={t("check.call_help")} />}
        <button type="button" class="big is-quiet" onClick={() => again(0, false)}>
          {t("check.from_start")}
        </button>
      </section>
    );
  }
  return (
    <section class="column" data-step={step}>
      <p class="steps">
        <span class="steps-bar" aria-hidden="true">
          {STEPS.map((one, index) => (
            <span key={one} class={index <= at.value ? "is-on" : ""} />
          ))}
        </span>
        {t("check.step", { step: at.value + 1, of: STEPS.length })}
      </p>
      <Heading>{t(NAMES[step])}</Heading>
      {step === "camera" && <CameraStep device={camera} onNext={next} />}
      {step === "microphone" && <MicrophoneStep device={microphone} onNext={next} />}
      {step === "speaker" && <SpeakerStep onNext={next} />}
      {step === "line" && <LineStep loop={loop} camera={camera} microphone={microphone} onNext={next} />}
      {at.value > 0 && !alone.value && (
        <button type="button" class="plain" data-command="step-back" onClick={() => go(at.value - 1)}>
          {t("check.step_back")}
        </button>
      )}
    </section>
  );
}

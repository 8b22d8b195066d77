/** Camera, microphone, speaker, line: one after the other, each of which may be passed over, and what came of it. */
import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useMemo } from "preact/hooks";
import { t } from "../i18n";
import type { Key } from "../i18n/keys";
import { Icon } from "../parts/Icon";
import { Heading } from "../visit/GuestShell";
import { CameraStep } from "./CameraStep";
import { OwnDevice } from "./device";
import { LineStep } from "./LineStep";
import { Loopback } from "./loopback";
import { MicrophoneStep } from "./MicrophoneStep";
import { SpeakerStep } from "./SpeakerStep";

export const STEPS = ["camera", "microphone", "speaker", "line"] as const;
export type Step = (typeof STEPS)[number];
/** What a step came to: it works, it does not, it was passed over, or so-so (of the line). */
export type Outcome = "works" | "fair" | "fails" | "skipped";

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

interface CheckFlowProps {
  /** Called with the name of every step that begins, and with "result". */
  readonly onStep: (name: string) => void;
  /** What stands below the result: the way on. */
  readonly done: ComponentChildren;
}

export function CheckFlow({ onStep, done }: CheckFlowProps) {
  const at = useSignal(0);
  const outcomes = useSignal<Partial<Record<Step, Outcome>>>({});
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
    at.value++;
    onStep(STEPS[at.value] ?? "result");
  };
  const again = () => {
    at.value = 0;
    onStep("camera");
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
          {STEPS.map((one) => {
            const outcome = outcomes.value[one] ?? "skipped";
            return (
              <li key={one} class={`is-${outcome}`} data-outcome={outcome} data-of={one}>
                <Icon name={outcome === "works" ? "check" : outcome === "skipped" ? "forward" : "warning"} />
                <span>{t(NAMES[one])}</span>
                <strong>{t(OUTCOMES[outcome])}</strong>
              </li>
            );
          })}
        </ul>
        <p class="lead">{t(summaryOf(outcomes.value))}</p>
        {done}
        <button type="button" class="big is-quiet" onClick={again}>
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
    </section>
  );
}

/** One sentence about everything: what matters most comes first. */
export function summaryOf(outcomes: Partial<Record<Step, Outcome>>): Key {
  if (outcomes.line === "fails") return "check.sum_line";
  if (outcomes.speaker === "fails") return "check.sum_speaker";
  if (outcomes.microphone === "fails") return "check.sum_microphone";
  if (outcomes.camera === "fails") return "check.sum_camera";
  const all = STEPS.every((step) => outcomes[step] === "works" || outcomes[step] === "fair");
  return all ? "check.sum_good" : "check.sum_skipped";
}

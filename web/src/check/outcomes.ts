/** What the steps of a check came to, and what that means in one sentence. Pure. */
import type { Key } from "../i18n/keys";

export const STEPS = ["camera", "microphone", "speaker", "line"] as const;
export type Step = (typeof STEPS)[number];
/** What a step came to: it works, it does not, it was passed over, or so-so (of the line). */
export type Outcome = "works" | "fair" | "fails" | "skipped";
export type Outcomes = Readonly<Partial<Record<Step, Outcome>>>;

/** Where nothing was tried, nothing was checked. */
export function anyTried(outcomes: Outcomes): boolean {
  return STEPS.some((step) => (outcomes[step] ?? "skipped") !== "skipped");
}

export function anyFails(outcomes: Outcomes): boolean {
  return STEPS.some((step) => outcomes[step] === "fails");
}

export function allWorks(outcomes: Outcomes): boolean {
  return STEPS.every((step) => outcomes[step] === "works" || outcomes[step] === "fair");
}

/** One sentence about everything: what matters most comes first. */
export function summaryOf(outcomes: Outcomes): Key {
  if (outcomes.line === "fails") return "check.sum_line";
  if (outcomes.speaker === "fails") return "check.sum_speaker";
  if (outcomes.microphone === "fails") return "check.sum_microphone";
  if (outcomes.camera === "fails") return "check.sum_camera";
  if (allWorks(outcomes)) return "check.sum_good";
  return anyTried(outcomes) ? "check.sum_skipped" : "check.sum_nothing";
}

/** The step after this one; one that was tried again by itself leads back to the result. */
export function stepAfter(at: number, alone: boolean): number {
  return alone ? STEPS.length : at + 1;
}

/** A page that changes by itself must not take the tap that was meant for the page before it. Pure. */
import type { Stage } from "./stage";

/** A tap that was under way when the page changed lands within this. */
export const GUARD_MS = 700;

/** Pages that come without anything having been pressed here: the clinician admits, ends, sends away. */
const BY_ITSELF: ReadonlySet<Stage> = new Set([
  "call",
  "over",
  "cancelled",
  "missed",
  "removed",
  "refused",
  "elsewhere",
]);

export interface StageChange {
  readonly to: Stage;
  readonly atMs: number;
}

/** How long taps still wait after this change of the page, ms; 0 once they act. A first page (null) changed nothing. */
export function tapsWaitMs(change: StageChange | null, nowMs: number): number {
  if (change === null || !BY_ITSELF.has(change.to)) return 0;
  return Math.max(0, GUARD_MS - Math.max(0, nowMs - change.atMs));
}

/**
 * Whether anything still comes over the legs of a call. A network that changes without a word, as most do, is seen here
 * first: sound alone is 50 packets a second, and the server reports to a publisher twice a second. Pure.
 */

/** How often to look. */
export const LOOK_MS = 500;
/** So long nothing over any leg: the line is asked about by a new connection to the room. */
export const STILL_MS = 1_500;
/** Each time the answer comes and it is still again, twice as long, up to this: that line is slow, or a machine is. */
export const STILL_LONGEST_MS = 12_000;
/** So long without a silence: the line is a good one again. */
const GOOD_MS = 30_000;

export class Stillness {
  private carried = -1;
  private sinceMs = 0;
  private lookedMs = 0;
  private toldMs = Number.NEGATIVE_INFINITY;
  private patienceMs = STILL_MS;
  private told = false;

  /** Take what came over all connected legs so far, null without one; true once in each silence. */
  look(carried: number | null, nowMs: number): boolean {
    // A look that comes late says more of this machine than of the line.
    const late = nowMs - this.lookedMs > 3 * LOOK_MS;
    this.lookedMs = nowMs;
    // A leg that was made anew counts from zero again: that is a sign of life, too.
    if (carried === null || carried !== this.carried || late) {
      this.carried = carried ?? -1;
      this.sinceMs = nowMs;
      this.told = false;
      return false;
    }
    if (this.told || nowMs - this.sinceMs < (nowMs - this.toldMs > GOOD_MS ? STILL_MS : this.patienceMs)) return false;
    this.patienceMs = Math.min(STILL_LONGEST_MS, nowMs - this.toldMs > GOOD_MS ? 2 * STILL_MS : 2 * this.patienceMs);
    this.toldMs = nowMs;
    this.told = true;
    return true;
  }

  /** Legs are connected and nothing has come for STILL_MS. */
  lasts(nowMs: number): boolean {
    return this.carried >= 0 && nowMs - this.sinceMs >= STILL_MS;
  }
}

/**
 * Which sample the screen shows now.
 *
 * A sample is shown `bufferMs` after the quickest trip of the last seconds would have brought it, so lateness up to the
 * buffer is invisible. Drift between the device's clock and the page's is absorbed by moving the play-out point at most
 * 0.5 % faster or slower; beyond JUMP_MS it jumps. Nothing here reads a clock: the caller says what time it is.
 */

export const DEFAULT_BUFFER_MS = 300;
export const MAX_STRETCH = 0.005;
export const JUMP_MS = 1_000;
const WINDOW_MS = 10_000;
const BUCKET_MS = 1_000;

export class Playout {
  private buckets: { at: number; quickest: number }[] = [];
  private baseMs: number | null = null;
  private lastMs = 0;

  constructor(
    private readonly rateHz: number,
    private readonly bufferMs: number = DEFAULT_BUFFER_MS,
  ) {}

  /** A frame that ends before absolute sample `end` arrived at `nowMs`. */
  arrived(end: number, nowMs: number): void {
    const trip = nowMs - (end * 1000) / this.rateHz;
    const last = this.buckets.at(-1);
    if (last !== undefined && nowMs - last.at < BUCKET_MS) last.quickest = Math.min(last.quickest, trip);
    else this.buckets.push({ at: nowMs, quickest: trip });
    while ((this.buckets[0]?.at ?? nowMs) < nowMs - WINDOW_MS) this.buckets.shift();
  }

  /** Absolute index before which every sample may be shown at `nowMs` (fractional); -Infinity before any frame. */
  position(nowMs: number): number {
    if (this.buckets.length === 0) return Number.NEGATIVE_INFINITY;
    const quickest = Math.min(...this.buckets.map((bucket) => bucket.quickest));
    const target = quickest + this.bufferMs;
    if (this.baseMs === null) this.baseMs = target;
    else {
      const error = target - this.baseMs;
      const step = MAX_STRETCH * Math.max(0, nowMs - this.lastMs);
      this.baseMs += Math.abs(error) > JUMP_MS ? error : Math.max(-step, Math.min(step, error));
    }
    this.lastMs = nowMs;
    return ((nowMs - this.baseMs) * this.rateHz) / 1000;
  }
}

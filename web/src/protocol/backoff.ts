/**
 * How long to wait before the next attempt: from 0.25 s, a third longer each time, to 1.5 s, each with ± 30 % jitter.
 * Slow growth, because a restarted server is back within seconds: eight attempts in the first 6 s; and never so long
 * that a line which is back stays unused for 5 s, even when the attempt before it is answered by nobody for 3 s.
 */

export const FIRST_WAIT_MS = 250;
export const LONGEST_WAIT_MS = 1_500;
const GROWTH = 4 / 3;
const JITTER = 0.3;

export class Backoff {
  private attempts = 0;

  constructor(private readonly random: () => number = Math.random) {}

  /** Milliseconds to wait now; the next call waits longer. Never above 1.5 s. */
  next(): number {
    const base = Math.min(FIRST_WAIT_MS * GROWTH ** this.attempts, LONGEST_WAIT_MS);
    this.attempts = Math.min(this.attempts + 1, 20);
    return Math.min(base * (1 - JITTER + 2 * JITTER * this.random()), LONGEST_WAIT_MS);
  }

  /** It worked: begin again with the shortest wait. */
  reset(): void {
    this.attempts = 0;
  }
}

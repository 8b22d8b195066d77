/** The server's clock on a page whose own clock may be a day off, and how long it is until something. Pure. */

/** Follows the server's clock by the times it tells, carried on by a clock that only counts. */
export class ServerTime {
  private offsetMs: number | null = null;

  constructor(private readonly steadyMs: () => number = () => performance.now()) {}

  /** An answer carried the server's time. It was under way a while, so the largest difference is the closest. */
  learn(serverNow: string): void {
    const offset = Date.parse(serverNow) - this.steadyMs();
    if (!Number.isFinite(offset)) return;
    this.offsetMs = this.offsetMs === null ? offset : Math.max(offset, this.offsetMs);
  }

  /** Forget what was learned: the machine slept, and its counting clock may have too. */
  forget(): void {
    this.offsetMs = null;
  }

  get known(): boolean {
    return this.offsetMs !== null;
  }

  /** The server's time now, ms since 1970; null before any answer. */
  now(): number | null {
    return this.offsetMs === null ? null : this.steadyMs() + this.offsetMs;
  }
}

export interface Span {
  readonly days: number;
  readonly hours: number;
  readonly minutes: number;
  readonly seconds: number;
}

/** A length of time in whole parts, rounded up to the second: what is left is never told as nothing. */
export function spanOf(ms: number): Span {
  const total = Math.max(0, Math.ceil(ms / 1000));
  return {
    days: Math.floor(total / 86_400),
    hours: Math.floor(total / 3600) % 24,
    minutes: Math.floor(total / 60) % 60,
    seconds: total % 60,
  };
}

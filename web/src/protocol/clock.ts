/**
 * The page's clocks. Its stamp (docs/protocol.md, section 1) is the steady clock plus the wall clock at the start and
 * never steps. The server's clock is estimated from its questions: each was sent before it arrived, so the largest
 * `server_us - stamp` of the last minute is the closest bound, late by the quickest one-way trip.
 */

const REMEMBERED = 12; // one question every 5 s: a minute

export class PageClock {
  private readonly startUs: number;
  private readonly differences: number[] = [];

  constructor(
    private readonly steadyMs: () => number = () => performance.now(),
    wallMs: () => number = () => Date.now(),
  ) {
    this.startUs = Math.round((wallMs() - steadyMs()) * 1000);
  }

  /** Stamp of this moment, µs since 1970 by this page. */
  stampUs(): number {
    return this.startUs + Math.round(this.steadyMs() * 1000);
  }

  /** A question of the server arrived now. */
  asked(serverUs: number): void {
    this.differences.push(serverUs - this.stampUs());
    if (this.differences.length > REMEMBERED) this.differences.shift();
  }

  /** A question has been asked, so `serverUs` is the server's clock and not a guess. */
  get known(): boolean {
    return this.differences.length > 0;
  }

  /** The server's clock now, µs since 1970; the page's own before the first question. */
  serverUs(): number {
    const offset = this.differences.length === 0 ? 0 : Math.max(...this.differences);
    return this.stampUs() + offset;
  }
}

/** The trend that a page looks at: which stretch, and its answer once the server gave it. No DOM. */
import { signal } from "@preact/signals";
import { ApiError } from "../api/client";
import { review as stored } from "../api/review";
import type { TrendAnswer } from "../api/types";
import { noticeSignedOut } from "../parts/account";
import { MOST_COLUMNS } from "./store";
import { type Extent, lengthS, placed, WINDOW_MAX_S } from "./window";

/** Lengths that can be chosen besides the whole. */
export const SPANS_S = [900, 3_600, 21_600, 86_400] as const;
/** A week of three numbers a second is 10 s of the server's work. */
const PATIENCE_MS = 60_000;

/** The lengths shorter than the whole, and the whole (of more than a week: a week). */
export function spansFor(whole: Extent): number[] {
  const most = Math.min(WINDOW_MAX_S, lengthS(whole));
  return [...SPANS_S.filter((one) => one < most), most];
}

/** The stretch of `seconds` that shows the window's middle: the one that is shown when it does, else the one around. */
export function shownWith(window: Extent, shown: Extent | null, seconds: number, whole: Extent): Extent {
  const middle = (window.fromUs + window.toUs) / 2;
  if (shown !== null && Math.abs(lengthS(shown) - seconds) < 1e-3 && middle >= shown.fromUs && middle < shown.toUs) {
    return shown;
  }
  return placed(middle - seconds * 5e5, seconds, whole);
}

export class TrendQuestion {
  readonly answer = signal<TrendAnswer | null>(null);
  readonly fault = signal<ApiError | null>(null);
  readonly loading = signal(false);
  private running: AbortController | null = null;

  constructor(readonly id: string) {}

  /** Ask for these columns; an older question is given up. The last reading of a stretch belongs to it. */
  async ask(extent: Extent, columns: number): Promise<void> {
    this.running?.abort();
    const running = new AbortController();
    this.running = running;
    const patience = setTimeout(() => running.abort(), PATIENCE_MS);
    this.loading.value = true;
    try {
      const from = Math.floor(extent.fromUs);
      const to = Math.min(Math.ceil(extent.toUs) + 1, from + WINDOW_MAX_S * 1e6);
      const count = Math.max(1, Math.min(MOST_COLUMNS, columns));
      const answer = await stored.trend(this.id, from, to, count, running.signal);
      if (this.running !== running) return;
      this.answer.value = answer;
      this.fault.value = null;
    } catch (error) {
      if (this.running !== running || noticeSignedOut(error)) return;
      if (!(error instanceof ApiError)) throw error;
      this.fault.value = error;
    } finally {
      clearTimeout(patience);
      if (this.running === running) this.loading.value = false;
    }
  }

  close(): void {
    this.running?.abort();
    this.running = null;
  }
}

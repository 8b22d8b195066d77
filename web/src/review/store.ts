/** What a review page knows: the answer of `…/review`, the window, and the waves fetched around it. No DOM. */
import { signal } from "@preact/signals";
import { ApiError, api } from "../api/client";
import type { ReviewAnswer } from "../api/types";
import { noticeSignedOut } from "../parts/account";
import { type Run, readAnswer } from "./answer";
import { around, covers, type Extent, placed, RAW_UP_TO_S } from "./window";

export const REVIEW_KINDS = ["ecg", "pleth", "respiration"] as const;
export type ReviewView = "raw" | "monitor";
/** The server answers at most this many columns. */
const MOST_COLUMNS = 8_192;
/** A review of nothing still has a length that can be shown. */
const EMPTY_US = 10e6;

interface Fetched {
  readonly extent: Extent;
  readonly usPerPx: number;
  readonly view: ReviewView;
}

export class Review {
  readonly answer = signal<ReviewAnswer | null>(null);
  readonly fault = signal<ApiError | null>(null);
  readonly window = signal<Extent>({ fromUs: 0, toUs: EMPTY_US });
  readonly view = signal<ReviewView>("monitor");
  readonly waves = signal<ReadonlyMap<string, readonly Run[]>>(new Map());
  readonly overview = signal<readonly Run[]>([]);
  readonly loading = signal(false);
  whole: Extent = { fromUs: 0, toUs: EMPTY_US };
  private fetched: Fetched | null = null;
  private asking = 0;

  constructor(readonly id: string) {}

  /** Ask for the summary; the window begins with the consultation. */
  async open(overviewColumns: number): Promise<void> {
    try {
      const answer = await api.review(this.id);
      const toUs = Math.max(answer.to_us, answer.from_us + 1e6);
      this.whole = { fromUs: answer.from_us, toUs };
      this.window.value = placed(answer.from_us, (this.window.value.toUs - this.window.value.fromUs) / 1e6, this.whole);
      this.answer.value = answer;
      this.overview.value = await this.ask("ecg", this.whole, Math.min(overviewColumns, MOST_COLUMNS));
    } catch (error) {
      this.refused(error);
    }
  }

  /** Fetch what the window needs on `widthPx` pixels, unless it is here. */
  async load(widthPx: number): Promise<void> {
    const window = this.window.value;
    if (this.answer.value === null || widthPx <= 0) return;
    const usPerPx = (window.toUs - window.fromUs) / widthPx;
    const view = this.view.value;
    const here = this.fetched;
    if (
      here !== null &&
      here.view === view &&
      covers(here.extent, window) &&
      Math.abs(here.usPerPx / usPerPx - 1) < 0.01
    ) {
      return;
    }
    const extent = around(window, this.whole);
    const turn = ++this.asking;
    this.fetched = { extent, usPerPx, view };
    this.loading.value = true;
    const raw = window.toUs - window.fromUs <= RAW_UP_TO_S * 1e6;
    const columns = raw ? null : Math.min(MOST_COLUMNS, Math.round((extent.toUs - extent.fromUs) / usPerPx));
    try {
      const runs = await Promise.all(REVIEW_KINDS.map((kind) => this.ask(kind, extent, columns)));
      if (turn !== this.asking) return;
      this.waves.value = new Map(REVIEW_KINDS.map((kind, i) => [kind, runs[i] ?? []]));
      this.fault.value = null;
    } catch (error) {
      if (turn !== this.asking) return;
      this.fetched = null;
      this.refused(error);
    } finally {
      if (turn === this.asking) this.loading.value = false;
    }
  }

  private async ask(kind: string, extent: Extent, columns: number | null): Promise<Run[]> {
    if (!this.answer.value?.streams.some((stream) => stream.kind === kind)) return [];
    const query = { kind, from_us: extent.fromUs, to_us: extent.toUs, view: this.view.value };
    const bytes = await api.waves(this.id, columns === null ? query : { ...query, columns });
    return readAnswer(bytes, (extent.toUs - extent.fromUs) / (columns ?? 1));
  }

  private refused(error: unknown): void {
    if (noticeSignedOut(error)) return;
    if (!(error instanceof ApiError)) throw error;
    this.fault.value = error;
  }
}

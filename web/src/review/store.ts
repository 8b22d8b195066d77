/** What a review page knows: the answer of `…/review`, the window, and the waves fetched around it. No DOM. */
import { signal } from "@preact/signals";
import { ApiError, api } from "../api/client";
import { review as stored, type View, type WavesQuery } from "../api/review";
import type { ReviewAnswer } from "../api/types";
import { noticeSignedOut } from "../parts/account";
import { type Run, readAnswer } from "./answer";
import { isEasy, viewFor } from "./reach";
import { around, covers, type Extent, inside, lengthS, parts, placed, RAW_UP_TO_S } from "./window";

export const REVIEW_KINDS = ["ecg", "pleth", "respiration"] as const;
/** The server answers at most this many columns. */
export const MOST_COLUMNS = 8_192;
/** A review of nothing still has a length that can be shown. */
const EMPTY_US = 10e6;
/** A window that still moves is not asked for. */
const SETTLE_MS = 60;
/** An hour of 12 filtered leads is 3 s of the server's work, more when others ask too. */
const PATIENCE_MS = 60_000;
/** Answers that are kept, to be asked for again by their tag: those of four windows. */
const KEPT_ANSWERS = 12;

interface Fetched {
  readonly extent: Extent;
  readonly usPerPx: number;
  readonly view: View;
}

interface Kept {
  readonly etag: string;
  readonly runs: Run[];
}

export class Review {
  readonly answer = signal<ReviewAnswer | null>(null);
  readonly fault = signal<ApiError | null>(null);
  readonly window = signal<Extent>({ fromUs: 0, toUs: EMPTY_US });
  readonly view = signal<View>("monitor");
  readonly waves = signal<ReadonlyMap<string, readonly Run[]>>(new Map());
  readonly overview = signal<readonly Run[]>([]);
  readonly loading = signal(false);
  whole: Extent = { fromUs: 0, toUs: EMPTY_US };
  private fetched: Fetched | null = null;
  private running: AbortController | null = null;
  private settling: ReturnType<typeof setTimeout> | undefined;
  private readonly kept = new Map<string, Kept>();
  /** Kind and view of signals whose rate is too low for that filter. */
  private readonly unfiltered = new Set<string>();

  constructor(readonly id: string) {}

  /** Ask for the summary; the window begins with the consultation. */
  async open(overviewColumns: number): Promise<void> {
    try {
      const answer = await api.review(this.id);
      const toUs = Math.max(answer.to_us, answer.from_us + 1e6);
      this.whole = { fromUs: answer.from_us, toUs };
      this.window.value = placed(answer.from_us, lengthS(this.window.value), this.whole);
      this.answer.value = answer;
      this.overview.value = await this.overviewOf(overviewColumns);
    } catch (error) {
      this.refused(error);
    }
  }

  /** Have what the window needs on `widthPx` columns fetched once it rests, unless it is here. */
  load(widthPx: number): void {
    clearTimeout(this.settling);
    const window = this.window.value;
    if (this.answer.value === null || widthPx <= 0) return;
    const usPerPx = (window.toUs - window.fromUs) / widthPx;
    const view = this.view.value;
    const here = this.fetched;
    if (
      here !== null &&
      here.view === view &&
      covers(here.extent, inside(window, this.whole)) &&
      Math.abs(here.usPerPx / usPerPx - 1) < 0.01
    ) {
      return;
    }
    this.settling = setTimeout(() => void this.fetch(window, usPerPx, view), SETTLE_MS);
  }

  /** Nobody looks any more. */
  close(): void {
    clearTimeout(this.settling);
    this.running?.abort();
  }

  private async fetch(window: Extent, usPerPx: number, view: View): Promise<void> {
    this.running?.abort();
    const running = new AbortController();
    this.running = running;
    const patience = setTimeout(() => running.abort(), PATIENCE_MS);
    const streams = this.answer.value?.streams ?? [];
    const wide = around(window, this.whole);
    const extent = view === "raw" || isEasy(streams, REVIEW_KINDS, wide) ? wide : inside(window, this.whole);
    this.fetched = { extent, usPerPx, view };
    this.loading.value = true;
    const raw = lengthS(window) <= RAW_UP_TO_S;
    const wanted = Math.ceil((extent.toUs - extent.fromUs) / usPerPx);
    const columns = raw ? null : Math.max(1, Math.min(MOST_COLUMNS, wanted));
    try {
      const runs = await Promise.all(REVIEW_KINDS.map((kind) => this.ask(kind, extent, columns, view, running.signal)));
      if (this.running !== running) return;
      this.waves.value = new Map(REVIEW_KINDS.map((kind, i) => [kind, runs[i] ?? []]));
      this.fault.value = null;
    } catch (error) {
      if (this.running !== running) return;
      this.fetched = null;
      this.refused(error);
    } finally {
      clearTimeout(patience);
      if (this.running === running) this.loading.value = false;
    }
  }

  /** The strip of the whole: without a filter, of which an answer may be a week long. */
  private async overviewOf(columns: number): Promise<Run[]> {
    const signal = AbortSignal.timeout(PATIENCE_MS);
    const runs: Run[] = [];
    const each = parts(this.whole);
    for (const part of each) {
      const share = Math.max(1, Math.min(MOST_COLUMNS, Math.floor(columns / each.length)));
      runs.push(...(await this.ask("ecg", part, share, "raw", signal)));
    }
    return runs;
  }

  private async ask(
    kind: string,
    extent: Extent,
    columns: number | null,
    chosen: View,
    signal: AbortSignal,
  ): Promise<Run[]> {
    const streams = this.answer.value?.streams ?? [];
    if (!streams.some((stream) => stream.kind === kind)) return [];
    const possible = viewFor(streams, kind, extent, chosen);
    const view = this.unfiltered.has(`${kind} ${possible}`) ? "raw" : possible;
    const span = { kind, from_us: extent.fromUs, to_us: extent.toUs, view };
    try {
      return await this.runs(columns === null ? span : { ...span, columns }, signal);
    } catch (error) {
      if (view === "raw" || !(error instanceof ApiError) || error.code !== "view_unknown") throw error;
      this.unfiltered.add(`${kind} ${view}`);
      return this.ask(kind, extent, columns, "raw", signal);
    }
  }

  /** The answer's runs; those that are here where the server says that nothing has changed. */
  private async runs(query: WavesQuery, signal: AbortSignal): Promise<Run[]> {
    const key = JSON.stringify(query);
    const known = this.kept.get(key);
    const { bytes, etag } = await stored.waves(this.id, query, known?.etag ?? null, signal);
    const runs =
      bytes === null ? (known?.runs ?? []) : readAnswer(bytes, (query.to_us - query.from_us) / (query.columns ?? 1));
    this.kept.delete(key);
    if (etag !== null) this.kept.set(key, { etag, runs });
    for (const oldest of this.kept.keys()) {
      if (this.kept.size <= KEPT_ANSWERS) break;
      this.kept.delete(oldest);
    }
    return runs;
  }

  private refused(error: unknown): void {
    if (noticeSignedOut(error)) return;
    if (!(error instanceof ApiError)) throw error;
    this.fault.value = error;
  }
}

/**
 * One lead on its own transparent canvas, swept incrementally. Lengths are bitmap px (CSS px at device pixel ratio 1).
 *
 * The canvas is taller than the lead's row, so a tall R runs over its neighbours instead of being clipped. Its
 * data-attributes say where every sample is drawn (tests and measurements read them):
 * data-lead, data-stream, data-view, data-epoch-first; data-s0 the absolute sample at x = 0 of the newest sweep; data-head the
 * last sample drawn, data-columns the columns drawn of that sweep; data-width-samples; data-px-per-sample, data-px-per-unit (px a mV when data-calibrated is "true"),
 * data-baseline-y the canvas y of zero. Right of the head (and the erase bar) stand the samples of the sweep before,
 * data-width-samples earlier. data-clipped is "true" once a part of the present sweep left what can be seen of the
 * canvas; a small mark stands at that edge.
 */
import { columnExtents, type Extents, emptyExtents, type SampleAt } from "./columns";
import { drawColumns, drawGaps, markClips, type Row, type Seen, type Sheet } from "./ink";
import type { VerticalScale } from "./scale";
import { completeColumns, ERASE_COLUMNS, lastDrawn, type Sweep, sweepStart } from "./sweep";

export interface TraceLabels {
  readonly lead: string;
  readonly stream: number;
  readonly view: string;
  readonly epochFirst: number;
}

export interface TraceColors {
  readonly trace: string;
  readonly gap: string;
  readonly clip: string;
}

export class SweepTrace {
  private extents: Extents = emptyExtents(0);
  private sweep: Sweep | null = null;
  private scale: VerticalScale | null = null;
  private at: SampleAt | null = null;
  private anchor = 0;
  private begin = 0;
  private s0 = 0;
  private columnsDrawn = 0;

  constructor(
    private readonly sheet: Sheet,
    private readonly colors: TraceColors,
    readonly row: Row,
    private readonly seen: Seen,
  ) {}

  get canvas(): HTMLCanvasElement {
    return this.sheet.ctx.canvas;
  }

  /** Say what is drawn and how; draws nothing yet (`redraw` does). Before sample `begin` there is nothing, not a gap. */
  configure(at: SampleAt, sweep: Sweep, anchor: number, begin: number, labels: TraceLabels): void {
    this.at = at;
    this.begin = begin;
    this.sweep = sweep;
    this.anchor = anchor;
    this.extents = emptyExtents(sweep.columns);
    const data = this.canvas.dataset;
    data.lead = labels.lead;
    data.stream = String(labels.stream);
    data.view = labels.view;
    data.epochFirst = String(labels.epochFirst);
    data.widthSamples = String(sweep.widthSamples);
    data.pxPerSample = String(sweep.pxPerSample);
  }

  get scaled(): boolean {
    return this.scale !== null;
  }

  /** Use another vertical scale from the next `redraw` on. */
  rescale(scale: VerticalScale): void {
    this.scale = scale;
    const data = this.canvas.dataset;
    data.pxPerUnit = String(scale.pxPerUnit);
    data.baselineY = String(scale.baselineY);
    data.calibrated = String(scale.calibrated);
  }

  clear(): void {
    this.sheet.ctx.clearRect(0, 0, this.sheet.width, this.sheet.height);
    delete this.canvas.dataset.s0;
    delete this.canvas.dataset.head;
    this.canvas.dataset.clipped = "false";
  }

  /** Draw everything that is on the screen when samples before `end` may be shown. */
  redraw(end: number): void {
    const { sweep, scale, at } = this;
    if (sweep === null || scale === null || at === null || end <= this.begin) return;
    this.clear();
    this.s0 = sweepStart(sweep, this.anchor, end - 1);
    this.columnsDrawn = this.columnOf(this.begin, this.s0);
    const head = completeColumns(sweep, this.s0, end);
    const before = this.s0 - sweep.widthSamples;
    const oldFrom = Math.min(sweep.columns, Math.max(head + ERASE_COLUMNS, this.columnOf(this.begin, before)));
    if (oldFrom < sweep.columns) {
      columnExtents(at, before, end, sweep.pxPerSample, oldFrom, sweep.columns, this.extents);
      this.ink(scale, oldFrom, sweep.columns);
    }
    this.drawUntil(end);
  }

  /** Draw what is new since the last call: wipe, then whole columns only, so that none is drawn twice. */
  advance(end: number): void {
    const { sweep } = this;
    if (sweep === null || this.scale === null || end <= this.begin) return;
    const behind = end - this.s0;
    if (this.canvas.dataset.head === undefined || behind < 0 || behind > 2 * sweep.widthSamples) {
      this.redraw(end);
      return;
    }
    this.drawUntil(end);
    if (behind > sweep.widthSamples) {
      this.s0 += sweep.widthSamples;
      this.columnsDrawn = 0;
      this.canvas.dataset.clipped = "false";
      this.drawUntil(end);
    }
  }

  private drawUntil(end: number): void {
    const { sweep, scale, at } = this;
    if (sweep === null || scale === null || at === null) return;
    const columns = completeColumns(sweep, this.s0, end);
    if (columns > this.columnsDrawn) {
      const from = this.columnsDrawn;
      this.sheet.ctx.clearRect(from, 0, columns - from + ERASE_COLUMNS, this.sheet.height);
      columnExtents(at, this.s0, end, sweep.pxPerSample, from, columns, this.extents);
      this.ink(scale, from, columns);
      this.columnsDrawn = columns;
    }
    if (this.columnsDrawn === 0) return;
    this.canvas.dataset.s0 = String(this.s0);
    this.canvas.dataset.columns = String(this.columnsDrawn);
    this.canvas.dataset.head = String(lastDrawn(sweep, this.s0, this.columnsDrawn));
  }

  /** Column of sample s in the sweep at s0, within the sweep. */
  private columnOf(s: number, s0: number): number {
    const { sweep } = this;
    if (sweep === null) return 0;
    return Math.max(0, Math.min(sweep.columns, Math.floor((s - s0) * sweep.pxPerSample)));
  }

  private ink(scale: VerticalScale, from: number, to: number): void {
    drawGaps(this.sheet, this.extents, from, to, this.row, this.colors.gap);
    drawColumns(this.sheet, this.extents, from, to, scale, this.colors.trace);
    if (markClips(this.sheet, this.extents, from, to, scale, this.seen, this.colors.clip)) {
      this.canvas.dataset.clipped = "true";
    }
  }
}

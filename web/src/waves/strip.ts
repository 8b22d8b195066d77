/** One row of the board: follows its view, keeps its vertical scale, and lets its trace draw. */
import { MISSING } from "../protocol/frame";
import type { Describe } from "../protocol/messages";
import type { BoardLabels, BoardView } from "./board";
import type { Seen, Sheet } from "./ink";
import { type Paper, pxPerSecond } from "./paper";
import type { RowPlan } from "./rows";
import { CENTRE_BEYOND_MV, calibratedScale, fittedScale, isCalibrated, middleOf } from "./scale";
import { type Sweep, sweepOf } from "./sweep";
import { SweepTrace } from "./trace";

const GAP_COLOR = "#5B6B7C";
const CLIP_COLOR = "#FFFFFF";
/** Samples before the first scale are looked at for this long. */
const FIRST_LOOK_S = 0.4;
/** Then after this share of a sweep, and twice as late each time until the first sweep is full. */
const FIRST_LOOKS = 0.1;
/** A fitted scale follows when the trace needs this much more or less room, */
const REFIT_RATIO = 1.25;
/** or when its middle wanders by this share of its row. */
const WANDER = 0.15;

/** What can be seen of a row's canvas on a board of that height, in the canvas's px. */
export function seenOf(plan: RowPlan, boardHeight: number, ratio: number): Seen {
  return {
    top: Math.max(0, -plan.canvasTop) * ratio,
    bottom: Math.min(plan.canvasHeight, boardHeight - plan.canvasTop) * ratio,
  };
}

export class Strip {
  private readonly trace: SweepTrace;
  private readonly paper: Paper;
  private view: BoardView | null = null;
  /** What the pixels on the canvas are of; null before the first. */
  describe: Describe | null = null;
  private channel = 0;
  private rateHz = 1;
  private anchor = 0;
  private sweep: Sweep | null = null;
  private looks = 0;
  private pxPerSampleUnit = 0;
  private originY = 0;
  private checkedTo = 0;
  private middleMv = 0;
  private labelText = "";

  constructor(
    readonly plan: RowPlan,
    private readonly sheet: Sheet,
    private readonly label: HTMLElement,
    paper: Paper,
    color: string,
    private labels: BoardLabels,
    boardHeight: number,
  ) {
    this.paper = { ...paper, pxPerMm: paper.pxPerMm * sheet.ratio };
    const top = (plan.top - plan.canvasTop) * sheet.ratio;
    this.trace = new SweepTrace(
      sheet,
      { trace: color, gap: GAP_COLOR, clip: CLIP_COLOR },
      { top, height: plan.height * sheet.ratio },
      seenOf(plan, boardHeight, sheet.ratio),
    );
  }

  /** Draw what the view's play-out allows at `nowMs`; `phaseMs` is the time since the board began to sweep. */
  draw(view: BoardView, nowMs: number, phaseMs: number): void {
    const position = view.playout.position(nowMs);
    const end = Math.min(view.ring.end, Math.floor(position));
    if (view.ring.empty || end <= view.ring.first) return;
    if (view !== this.view || view.describe !== this.describe) this.follow(view, end, position, phaseMs);
    if (this.keepScale(view, end)) this.trace.redraw(end);
    else this.trace.advance(end);
    this.write(view);
  }

  private follow(view: BoardView, end: number, position: number, phaseMs: number): void {
    const { describe } = view;
    const fresh = this.view === null || this.view !== view;
    this.view = view;
    this.describe = describe;
    this.channel = Math.max(
      0,
      describe.channels.findIndex((channel) => channel.name === this.plan.channel),
    );
    this.rateHz = describe.rate[0] / describe.rate[1];
    this.sweep = sweepOf(this.sheet.width, pxPerSecond(this.paper), this.rateHz);
    if (fresh) {
      // All views keep the same phase, so simultaneous samples stand one above the other.
      this.anchor = Math.round(position - (phaseMs * this.rateHz) / 1000);
      this.looks = 0;
      this.checkedTo = end;
      this.trace.clear();
    }
    const at = (index: number) => view.ring.at(this.channel, index);
    const lead = describe.channels[this.channel]?.name ?? this.plan.id;
    this.trace.configure(at, this.sweep, this.anchor, view.ring.first, {
      lead,
      stream: describe.stream,
      view: describe.name,
      epochFirst: describe.first_sample,
    });
    if (this.trace.scaled) this.trace.redraw(end);
  }

  /** Choose the vertical scale at the start and once a sweep; true when it changed and all must be drawn anew. */
  private keepScale(view: BoardView, end: number): boolean {
    const { sweep } = this;
    const channel = view.describe.channels[this.channel];
    if (sweep === null || channel === undefined) return false;
    const seen = (end - view.ring.first) / this.rateHz;
    const due = this.looks === 0 ? seen > FIRST_LOOK_S : seen > this.looks * (sweep.widthSamples / this.rateHz);
    const outgrown = this.trace.scaled && !isCalibrated(view.describe.kind, channel) && this.leavesRow(view, end);
    if (!due && !outgrown) return false;
    const sweeps = seen / (sweep.widthSamples / this.rateHz);
    this.looks = sweeps < 1 ? Math.min(1, Math.max(FIRST_LOOKS, 2 * sweeps)) : Math.floor(sweeps) + 1;
    const from = Math.max(view.ring.first, end - sweep.widthSamples);
    const at = (index: number) => view.ring.at(this.channel, index);
    const middleY = this.trace.row.top + this.trace.row.height / 2;
    if (isCalibrated(view.describe.kind, channel)) {
      const level = calibratedScale(channel, this.paper, middleY);
      const middle = middleOf(at, from, end);
      const middleMv =
        middle === null ? 0 : (level.baselineY - (level.originY - middle * level.pxPerSampleUnit)) / level.pxPerUnit;
      const centre = Math.abs(middleMv) > CENTRE_BEYOND_MV ? middleMv : 0;
      if (this.trace.scaled && Math.abs(centre - this.middleMv) < CENTRE_BEYOND_MV / 2) return false;
      this.middleMv = centre;
      this.trace.rescale(calibratedScale(channel, this.paper, middleY, centre));
      return true;
    }
    const scale = fittedScale(at, from, end, middleY, this.trace.row.height);
    if (scale === null) return false;
    const ratio = scale.pxPerSampleUnit / (this.pxPerSampleUnit || scale.pxPerSampleUnit);
    const wandered = Math.abs(scale.originY - this.originY) > WANDER * this.trace.row.height;
    if (this.trace.scaled && ratio < REFIT_RATIO && ratio > 1 / REFIT_RATIO && !wandered && !outgrown) {
      return false;
    }
    this.pxPerSampleUnit = scale.pxPerSampleUnit;
    this.originY = scale.originY;
    this.trace.rescale(scale);
    return true;
  }

  /** A sample that came since the last call is drawn outside of the row by the present fitted scale. */
  private leavesRow(view: BoardView, end: number): boolean {
    const { top, height } = this.trace.row;
    const from = Math.max(this.checkedTo, view.ring.first);
    this.checkedTo = end;
    for (let index = from; index < end; index++) {
      const value = view.ring.at(this.channel, index);
      const y = this.originY - value * this.pxPerSampleUnit;
      if (value !== MISSING && (y < top || y > top + height)) return true;
    }
    return false;
  }

  /** Say the same in other words, without drawing. */
  say(labels: BoardLabels): void {
    this.labels = labels;
    this.labelText = "";
    if (this.view !== null) this.write(this.view);
  }

  private write(view: BoardView): void {
    const off = this.channel < 16 && (view.electrodesOff & (1 << this.channel)) !== 0;
    const channel = view.describe.channels[this.channel];
    const calibrated = channel !== undefined && isCalibrated(view.describe.kind, channel);
    const named = this.plan.rowKind === "ecg" ? (channel?.name ?? "") : this.rowName(channel?.name ?? "");
    const text = [named, calibrated ? "" : this.labels.fitted, off ? this.labels.leadOff : ""]
      .filter(Boolean)
      .join(" · ");
    if (text === this.labelText) return;
    this.labelText = text;
    this.label.textContent = text;
    this.label.classList.toggle("is-off", off);
    this.sheet.ctx.canvas.setAttribute("role", "img"); // not before it has a name
    this.sheet.ctx.canvas.setAttribute("aria-label", this.labels.describeTrace(named, calibrated));
    this.sheet.ctx.canvas.dataset.electrodeOff = String(off);
  }

  private rowName(channel: string): string {
    switch (this.plan.rowKind) {
      case "rhythm":
        return `${channel} · ${this.labels.row.rhythm}`;
      case "pleth":
        return this.labels.row.pleth;
      case "respiration":
        return this.labels.row.respiration;
      default:
        return channel;
    }
  }
}

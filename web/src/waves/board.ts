/**
 * Everything that moves on the wave screen: one grid canvas, one transparent canvas a trace, one drawing loop.
 *
 * The board reads views (ring and play-out) that someone else fills; it asks for them on every tick, so a new stream or
 * a restarted filter takes effect by itself. Frozen, it draws nothing: what is on the screen stays readable.
 */
import type { Describe } from "../protocol/messages";
import { DARK_GRID, drawGrid, drawPulses, pulseWidth } from "./grid";
import { fitCanvas } from "./ink";
import { type Paper, pxPerSecond } from "./paper";
import type { Playout } from "./playout";
import type { SampleRing } from "./ring";
import { type BoardLayout, planRows, type RowKind, type RowPlan } from "./rows";
import { Strip } from "./strip";
import { sweepSeconds } from "./sweep";

/** Drawing more often than this shows nothing new: a column lasts 10 ms at 25 mm/s. */
const TICK_MS = 30;

export interface BoardView {
  readonly describe: Describe;
  readonly ring: SampleRing;
  readonly playout: Playout;
  /** Bit i: the electrode of channel i is off. */
  readonly electrodesOff: number;
}

export interface BoardSettings {
  readonly layout: BoardLayout;
  readonly paper: Paper;
  readonly labels: BoardLabels;
}

export interface BoardLabels {
  readonly row: Record<"rhythm" | "pleth" | "respiration", string>;
  readonly fitted: string;
  readonly leadOff: string;
  readonly describeTrace: (lead: string, calibrated: boolean) => string;
}

export const TRACE_COLORS: Record<RowKind, string> = {
  ecg: "#3DDC84",
  rhythm: "#3DDC84",
  pleth: "#4FC3F7",
  respiration: "#FFE082",
};

export class Board {
  private strips: Strip[] = [];
  private settings: BoardSettings | null = null;
  private plan = "";
  private request = 0;
  private lastTick = 0;
  private phaseStart: number | null = null;
  private stopped = false;

  constructor(
    private readonly host: HTMLElement,
    private readonly viewOf: (kind: string) => BoardView | undefined,
    private readonly onSeconds: (seconds: number) => void,
    /** The ECG whose pixels are on the screen: not the one that was chosen a moment ago. */
    private readonly onDrawn: (ecg: Describe | null) => void = () => undefined,
  ) {}

  start(): void {
    const loop = (now: number) => {
      this.request = requestAnimationFrame(loop);
      if (now - this.lastTick < TICK_MS) return;
      this.lastTick = now;
      this.tick(performance.now());
    };
    this.request = requestAnimationFrame(loop);
  }

  stop(): void {
    cancelAnimationFrame(this.request);
    this.host.replaceChildren();
    this.strips = [];
    this.plan = "";
  }

  /** Frozen, nothing is drawn any more; what was chosen before is drawn first, so words and pixels agree. */
  set frozen(frozen: boolean) {
    if (frozen && !this.stopped) this.tick(performance.now());
    this.stopped = frozen;
  }

  /** Use these settings and the host's present size; builds the rows anew. */
  apply(settings: BoardSettings): void {
    this.settings = settings;
    this.plan = "";
    if (this.stopped) for (const strip of this.strips) strip.say(settings.labels);
  }

  private tick(now: number): void {
    if (this.settings === null || this.stopped) return;
    this.rebuildWhenChanged(this.settings);
    this.phaseStart ??= this.strips.some((strip) => this.viewOf(strip.plan.streamKind)) ? now : null;
    if (this.phaseStart === null) return;
    for (const strip of this.strips) {
      const view = this.viewOf(strip.plan.streamKind);
      if (view !== undefined) strip.draw(view, now, now - this.phaseStart);
    }
    this.onDrawn(this.strips.find((strip) => strip.plan.streamKind === "ecg")?.describe ?? null);
  }

  private rebuildWhenChanged(settings: BoardSettings): void {
    const width = this.host.clientWidth;
    const height = this.host.clientHeight;
    const leads = this.viewOf("ecg")?.describe.channels.map((channel) => channel.name) ?? [];
    const strips = (["pleth", "respiration"] as const).filter((kind) => this.viewOf(kind) !== undefined);
    const plan = JSON.stringify([width, height, leads, strips, settings.layout, settings.paper, devicePixelRatio]);
    if (plan === this.plan || width === 0 || height === 0) return;
    this.plan = plan;
    this.build(settings, width, height, leads, strips);
  }

  private build(
    settings: BoardSettings,
    width: number,
    height: number,
    leads: readonly string[],
    strips: readonly ("pleth" | "respiration")[],
  ): void {
    this.host.replaceChildren();
    const rows = planRows(settings.layout, leads, strips, height, settings.paper);
    this.buildGrid(settings.paper, width, height, rows);
    this.strips = rows.map((row) => {
      const canvas = document.createElement("canvas");
      canvas.className = "trace";
      canvas.dataset.row = row.id;
      canvas.style.top = `${row.canvasTop}px`;
      const label = document.createElement("span");
      label.className = `trace-label is-${row.rowKind}`;
      label.style.top = `${row.top + 2}px`;
      if (row.streamKind === "ecg") label.style.left = `${pulseWidth(settings.paper)}px`;
      this.host.append(canvas, label);
      const sheet = fitCanvas(canvas, width, row.canvasHeight);
      return new Strip(row, sheet, label, settings.paper, TRACE_COLORS[row.rowKind], settings.labels, height);
    });
    this.onSeconds(sweepSeconds(width, pxPerSecond(settings.paper)));
  }

  private buildGrid(paper: Paper, width: number, height: number, rows: readonly RowPlan[]): void {
    const canvas = document.createElement("canvas");
    canvas.className = "grid";
    canvas.setAttribute("aria-hidden", "true");
    this.host.append(canvas);
    const sheet = fitCanvas(canvas, width, height);
    const inPixels = { ...paper, pxPerMm: paper.pxPerMm * sheet.ratio };
    const ecg = rows.filter((row) => row.streamKind === "ecg");
    const last = ecg.at(-1);
    const ecgHeight = last === undefined ? 0 : (last.top + last.height) * sheet.ratio;
    drawGrid(sheet.ctx, sheet.width, ecgHeight, inPixels, DARK_GRID);
    const feet = ecg.map((row) => (row.top + row.height / 2) * sheet.ratio);
    drawPulses(sheet.ctx, feet, inPixels, DARK_GRID);
  }
}

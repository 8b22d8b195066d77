/** Draws a window of the stored waves on paper, with the renderer of the live screen; every gap is hatched and named. */
import { MISSING } from "../protocol/frame";
import { type Extents, emptyExtents, gapRuns } from "../waves/columns";
import { drawGrid, drawPulses, PAPER_GRID, pulseWidth } from "../waves/grid";
import { drawColumns, fitCanvas, hatch, markClips, type Sheet } from "../waves/ink";
import type { Paper } from "../waves/paper";
import { planRows, type RowKind, type RowPlan } from "../waves/rows";
import {
  CENTRE_BEYOND_MV,
  calibratedScale,
  fittedScale,
  isCalibrated,
  middleOf,
  type VerticalScale,
} from "../waves/scale";
import { seenOf } from "../waves/strip";
import type { Run } from "./answer";
import { type Projection, project } from "./project";
import type { TimeAxis } from "./ticks";
import type { Extent } from "./window";

const INK: Record<RowKind, string> = { ecg: "#111111", rhythm: "#111111", pleth: "#0B5CAD", respiration: "#7A4B00" };
const GAP_INK = "#6B7B8C";
/** Between horizontal lines where the paper is not to scale, mm: half a millivolt at 10 mm/mV, as on paper. */
const LINES_MM = 5;
const CLIP_INK = "#0B5CAD";
/** A gap this wide says in words that it is one. */
const NAMED_GAP_PX = 70;

export interface PaintWords {
  readonly pleth: string;
  readonly respiration: string;
  readonly rhythm: string;
  readonly fitted: string;
  readonly noData: string;
  readonly describeTrace: (lead: string) => string;
}

export interface PaintJob {
  readonly host: HTMLElement;
  readonly runs: ReadonlyMap<string, readonly Run[]>;
  readonly window: Extent;
  readonly paper: Paper;
  /** Where time is not to the paper's scale its lines are these, and no millimetres. */
  readonly axis: TimeAxis | null;
  readonly words: PaintWords;
}

/** Build the host's canvases anew and draw the window. */
export function paint(job: PaintJob): void {
  const { host, runs, paper } = job;
  const width = host.clientWidth;
  const height = host.clientHeight;
  if (width === 0 || height === 0) return;
  const leads =
    runs
      .get("ecg")
      ?.at(-1)
      ?.describe.channels.map((channel) => channel.name) ?? [];
  const strips = (["pleth", "respiration"] as const).filter((kind) => (runs.get(kind) ?? []).length > 0);
  const rows = planRows("review", leads, strips, height, paper);
  host.replaceChildren();
  paintGrid(host, paper, width, height, rows, job.axis);
  for (const row of rows) paintRow(job, row, width, height);
}

function paintGrid(
  host: HTMLElement,
  paper: Paper,
  width: number,
  height: number,
  rows: readonly RowPlan[],
  axis: TimeAxis | null,
): void {
  const canvas = document.createElement("canvas");
  canvas.className = "grid";
  canvas.setAttribute("aria-hidden", "true");
  host.append(canvas);
  const sheet = fitCanvas(canvas, width, height);
  const inPixels = { ...paper, pxPerMm: paper.pxPerMm * sheet.ratio };
  const ecg = rows.filter((row) => row.streamKind === "ecg");
  const last = ecg.at(-1);
  const ecgHeight = last === undefined ? 0 : last.top + last.height;
  if (axis === null) drawGrid(sheet.ctx, sheet.width, ecgHeight * sheet.ratio, inPixels, PAPER_GRID);
  else drawTimes(sheet, ecgHeight * sheet.ratio, inPixels, axis);
  const feet = ecg.map((row) => (row.top + row.height / 2) * sheet.ratio);
  drawPulses(sheet.ctx, feet, inPixels, PAPER_GRID);
}

/** Level lines every 5 mm over the leads, an upright line at each mark of the time axis over everything. */
function drawTimes(sheet: Sheet, ecgHeight: number, inPixels: Paper, axis: TimeAxis): void {
  sheet.ctx.fillStyle = PAPER_GRID.minor;
  for (let y = 0; y < ecgHeight; y += LINES_MM * inPixels.pxPerMm) sheet.ctx.fillRect(0, Math.round(y), sheet.width, 1);
  sheet.ctx.fillStyle = PAPER_GRID.major;
  for (const tick of axis.ticks) sheet.ctx.fillRect(Math.round(tick.share * sheet.width), 0, 1, sheet.height);
}

function paintRow(job: PaintJob, row: RowPlan, width: number, boardHeight: number): void {
  const canvas = document.createElement("canvas");
  canvas.className = "trace";
  canvas.style.top = `${row.canvasTop}px`;
  const label = document.createElement("span");
  label.className = `trace-label is-${row.rowKind}`;
  label.style.top = `${row.top + 2}px`;
  if (row.streamKind === "ecg") label.style.left = `${pulseWidth(job.paper)}px`;
  job.host.append(canvas, label);
  const sheet = fitCanvas(canvas, width, row.canvasHeight);
  const runs = job.runs.get(row.streamKind) ?? [];
  const projection = project(runs, row.channel, job.window, sheet.width);
  const scale = scaleOf(runs, row, projection.extents, job.paper, sheet);
  const band = { top: (row.top - row.canvasTop) * sheet.ratio, height: row.height * sheet.ratio };
  for (const [from, to] of gapRuns(projection.extents, 0, sheet.width)) {
    hatch(sheet, from, to, band, GAP_INK);
    if (to - from > NAMED_GAP_PX * sheet.ratio) nameGap(job.host, row, (from + to) / 2 / sheet.ratio, job.words.noData);
  }
  if (scale !== null) {
    const seen = seenOf(row, boardHeight, sheet.ratio);
    drawColumns(sheet, projection.extents, 0, sheet.width, scale, INK[row.rowKind]);
    canvas.dataset.clipped = String(markClips(sheet, projection.extents, 0, sheet.width, scale, seen, CLIP_INK));
  }
  const lead = row.channel ?? (row.rowKind === "pleth" ? job.words.pleth : job.words.respiration);
  label.textContent = scale?.calibrated === false ? `${lead} · ${job.words.fitted}` : lead;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", job.words.describeTrace(lead));
  annotate(canvas, row, runs, projection, scale, job);
}

function annotate(
  canvas: HTMLCanvasElement,
  row: RowPlan,
  runs: readonly Run[],
  projection: Projection,
  scale: VerticalScale | null,
  job: PaintJob,
): void {
  const data = canvas.dataset;
  data.row = row.id;
  data.lead = row.channel ?? runs[0]?.describe.channels[0]?.name ?? row.id;
  data.view = runs.at(-1)?.describe.name ?? "";
  data.fromUs = String(job.window.fromUs);
  data.toUs = String(job.window.toUs);
  if (scale !== null) {
    data.pxPerUnit = String(scale.pxPerUnit);
    data.baselineY = String(scale.baselineY);
    data.calibrated = String(scale.calibrated);
  }
  if (projection.samples === null) return;
  data.stream = String(projection.samples.stream);
  data.s0 = String(projection.samples.s0);
  data.head = String(projection.samples.head);
  data.pxPerSample = String(projection.samples.pxPerSample);
  data.widthSamples = String(Math.floor(canvas.width / projection.samples.pxPerSample));
}

function nameGap(host: HTMLElement, row: RowPlan, x: number, words: string): void {
  const mark = document.createElement("span");
  mark.className = "gap-name";
  mark.style.left = `${x}px`;
  mark.style.top = `${row.top + row.height / 2}px`;
  mark.textContent = words;
  host.append(mark);
}

function scaleOf(
  runs: readonly Run[],
  row: RowPlan,
  extents: Extents,
  paper: Paper,
  sheet: Sheet,
): VerticalScale | null {
  const describe = runs.at(-1)?.describe;
  const at = row.channel === null ? 0 : (describe?.channels.findIndex((channel) => channel.name === row.channel) ?? -1);
  const channel = describe?.channels[at];
  if (describe === undefined || channel === undefined) return null;
  const middleY = (row.top - row.canvasTop + row.height / 2) * sheet.ratio;
  const columns = extents.low.length;
  const low = (column: number) => valueOr(extents.low[column]);
  const both = (i: number) => (i < columns ? low(i) : valueOr(extents.high[i - columns]));
  if (!isCalibrated(describe.kind, channel))
    return fittedScale(both, 0, 2 * columns, middleY, row.height * sheet.ratio);
  const inPixels = { ...paper, pxPerMm: paper.pxPerMm * sheet.ratio };
  const level = calibratedScale(channel, inPixels, middleY);
  const middle = middleOf(both, 0, 2 * columns);
  if (middle === null) return level;
  const middleMv = (level.baselineY - (level.originY - middle * level.pxPerSampleUnit)) / level.pxPerUnit;
  return Math.abs(middleMv) > CENTRE_BEYOND_MV ? calibratedScale(channel, inPixels, middleY, middleMv) : level;
}

const valueOr = (value: number | undefined): number => (value === undefined || Number.isNaN(value) ? MISSING : value);

/** The overview: one lead over the whole consultation in a low strip. */
export function paintOverview(
  canvas: HTMLCanvasElement,
  runs: readonly Run[],
  lead: string | null,
  whole: Extent,
): void {
  const { clientWidth: width, clientHeight: height } = canvas.parentElement ?? canvas;
  if (width === 0 || height === 0) return;
  const sheet = fitCanvas(canvas, width, height);
  const { extents } =
    runs.length > 0 ? project(runs, lead, whole, sheet.width) : { extents: emptyExtents(sheet.width) };
  const band = { top: 0, height: sheet.height };
  sheet.ctx.clearRect(0, 0, sheet.width, sheet.height);
  for (const [from, to] of gapRuns(extents, 0, sheet.width)) hatch(sheet, from, to, band, GAP_INK);
  const columns = sheet.width;
  const both = (i: number) => valueOr(i < columns ? extents.low[i] : extents.high[i - columns]);
  const scale = fittedScale(both, 0, 2 * columns, sheet.height / 2, sheet.height);
  if (scale !== null) drawColumns(sheet, extents, 0, sheet.width, scale, "#4A5A6A");
}

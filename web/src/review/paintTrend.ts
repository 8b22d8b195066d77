/** Draws one panel of the trend: what was read as ink, nothing between what was not. */
import { fitCanvas } from "../waves/ink";
import { type TimeAxis, valueTicks } from "./ticks";
import { joined, type Line, type Mark, type Panel, type PanelKind, xOf, yOf } from "./trend";

/** On the page's light ground, each at least 4.5:1. */
const INK: Record<PanelKind, string> = {
  heart_rate: "#1B7F3B",
  spo2: "#0B5CAD",
  respiration_rate: "#7A4B00",
  blood_pressure: "#1A2430",
  temperature: "#6A3FA0",
};
const LINE_INK = "#DBE2E9";
const STROKE_PX = 1.75;
/** A reading that stands alone, and the ends of a pressure's bar, CSS px. */
const DOT_PX = 3;
const CAP_PX = 4;
/** More readings than this, and a mark is a stroke without a dot: dots would run into each other. */
const DOTS_MOST_SHARE = 0.12;

/** A pulse that the oximeter counts has the oximeter's colour. */
export const inkOf = (panel: Panel, line: Line): string => (line.kind === "pulse_rate" ? INK.spo2 : INK[panel.kind]);

interface TrendJob {
  readonly canvas: HTMLCanvasElement;
  readonly panel: Panel;
  readonly columns: number;
  /** Marks that are at most so many columns apart are joined; single measurements never are. */
  readonly hold: number;
  readonly axis: TimeAxis;
}

export function paintPanel({ canvas, panel, columns, hold, axis }: TrendJob): void {
  // The plot around it: a canvas that was sized once keeps that size.
  const { clientWidth: width, clientHeight: height } = canvas.parentElement ?? canvas;
  if (width === 0 || height === 0) return;
  const { ctx, ratio } = fitCanvas(canvas, width, height);
  ctx.scale(ratio, ratio);
  ctx.clearRect(0, 0, width, height);
  ctx.fillStyle = LINE_INK;
  for (const value of ticksOf(panel)) ctx.fillRect(0, Math.round(yOf(panel, value, height - 1)), width, 1);
  for (const tick of axis.ticks) ctx.fillRect(Math.round(tick.share * width), 0, 1, height);
  const at = {
    x: (mark: Mark) => xOf(mark.column, columns, width),
    y: (value: number) => yOf(panel, value, height),
  };
  ctx.lineWidth = STROKE_PX;
  ctx.lineJoin = "round";
  panel.lines.forEach((line, i) => {
    // The second device of a panel is told by dashes and hollow dots.
    ctx.strokeStyle = inkOf(panel, line);
    ctx.fillStyle = inkOf(panel, line);
    ctx.setLineDash(i === 0 ? [] : [5, 3]);
    if (panel.kind === "blood_pressure") drawBars(ctx, line, at);
    else drawLine(ctx, line, at, { hold, dots: line.marks.length <= width * DOTS_MOST_SHARE, hollow: i > 0 });
  });
}

export const ticksOf = (panel: Panel): number[] =>
  valueTicks(panel.low, panel.high, (panel.high - panel.low) / panel.step);

interface Place {
  readonly x: (mark: Mark) => number;
  readonly y: (value: number) => number;
}

/** Least to greatest of each column as a stroke; the last readings of columns that follow each other joined. */
function drawLine(
  ctx: CanvasRenderingContext2D,
  line: Line,
  at: Place,
  how: { hold: number; dots: boolean; hollow: boolean },
): void {
  for (const run of joined(line.marks, how.hold)) {
    ctx.beginPath();
    run.forEach((mark, i) => {
      if (i === 0) ctx.moveTo(at.x(mark), at.y(mark.last));
      else ctx.lineTo(at.x(mark), at.y(mark.last));
    });
    ctx.stroke();
    for (const mark of run) {
      const top = at.y(mark.greatest);
      ctx.fillRect(at.x(mark) - STROKE_PX / 2, top, STROKE_PX, at.y(mark.least) - top);
      if (how.dots || run.length === 1) dot(ctx, at.x(mark), at.y(mark.last), how.hollow);
    }
  }
}

/** From the diastolic to the systolic, with both ends and the mean marked. */
function drawBars(ctx: CanvasRenderingContext2D, line: Line, at: Place): void {
  for (const mark of line.marks) {
    const [x, top, bottom] = [at.x(mark), at.y(mark.greatest), at.y(mark.least)];
    ctx.fillRect(x - STROKE_PX / 2, top, STROKE_PX, bottom - top);
    for (const end of [top, bottom]) ctx.fillRect(x - CAP_PX, end - STROKE_PX / 2, 2 * CAP_PX, STROKE_PX);
    if (!Number.isNaN(mark.last)) dot(ctx, x, at.y(mark.last), false);
  }
}

function dot(ctx: CanvasRenderingContext2D, x: number, y: number, hollow: boolean): void {
  ctx.save();
  ctx.setLineDash([]);
  ctx.beginPath();
  ctx.arc(x, y, DOT_PX, 0, 2 * Math.PI);
  if (hollow) ctx.stroke();
  else ctx.fill();
  ctx.restore();
}

/**
 * Puts column extents on a canvas. One vertical stroke a column, TRACE_PX thick around the polyline, antialiased only
 * up and down: the ink's centre is the value to a fraction of a pixel. Gaps are hatched over the row.
 */
import { type Extents, gapRuns } from "./columns";
import type { VerticalScale } from "./scale";

/** Thickness of a level trace, CSS px. */
export const TRACE_PX = 1.5;
const HATCH_STEP_PX = 8;
/** Size of the mark where a trace leaves what can be seen, CSS px. */
const CLIP_MARK_PX = 4;

/** A canvas whose bitmap matches the screen's pixels. Everything in this folder counts bitmap px (CSS px at ratio 1). */
export interface Sheet {
  readonly ctx: CanvasRenderingContext2D;
  readonly width: number;
  readonly height: number;
  readonly ratio: number;
}

export interface Row {
  /** The row's band inside the (taller) canvas. */
  readonly top: number;
  readonly height: number;
}

/** What can be seen of a canvas that is taller than its board, in its own px. */
export interface Seen {
  readonly top: number;
  readonly bottom: number;
}

/** Mark the columns among [from, to) that leave what can be seen, at the edge they cross; true when there was one. */
export function markClips(
  sheet: Sheet,
  extents: Extents,
  from: number,
  to: number,
  scale: VerticalScale,
  seen: Seen,
  color: string,
): boolean {
  const size = CLIP_MARK_PX * sheet.ratio;
  let marked = false;
  sheet.ctx.fillStyle = color;
  for (let column = from; column < to; column++) {
    const low = extents.low[column] as number;
    if (Number.isNaN(low)) continue;
    const above = scale.originY - (extents.high[column] as number) * scale.pxPerSampleUnit < seen.top;
    const below = scale.originY - low * scale.pxPerSampleUnit > seen.bottom;
    if (above) sheet.ctx.fillRect(column - size, seen.top, size + 1, size);
    if (below) sheet.ctx.fillRect(column - size, seen.bottom - size, size + 1, size);
    marked ||= above || below;
  }
  return marked;
}

/** Draw columns [from, to); column c is the pixels [c, c + 1) + `left`. */
export function drawColumns(
  sheet: Sheet,
  extents: Extents,
  from: number,
  to: number,
  scale: VerticalScale,
  color: string,
  left = 0,
): void {
  const half = (TRACE_PX * sheet.ratio) / 2;
  sheet.ctx.fillStyle = color;
  for (let column = from; column < to; column++) {
    const low = extents.low[column] as number;
    if (Number.isNaN(low)) continue;
    const top = scale.originY - (extents.high[column] as number) * scale.pxPerSampleUnit - half;
    const bottom = scale.originY - low * scale.pxPerSampleUnit + half;
    sheet.ctx.fillRect(left + column, top, 1, bottom - top);
  }
}

/** Hatch the gap columns among [from, to): explicitly "no data here". */
export function drawGaps(sheet: Sheet, extents: Extents, from: number, to: number, row: Row, color: string): void {
  for (const [start, end] of gapRuns(extents, from, to)) hatch(sheet, start, end, row, color);
}

/** Hatch the pixels [start, end) of a row; the pattern is fixed to the canvas, so pieces join. */
export function hatch(sheet: Sheet, start: number, end: number, row: Row, color: string): void {
  const { ctx } = sheet;
  const step = HATCH_STEP_PX * sheet.ratio;
  ctx.save();
  ctx.beginPath();
  ctx.rect(start, row.top + 1, end - start, row.height - 2);
  ctx.clip();
  ctx.strokeStyle = color;
  ctx.lineWidth = sheet.ratio;
  ctx.beginPath();
  for (let x = Math.floor((start - row.height) / step) * step; x < end; x += step) {
    ctx.moveTo(x, row.top + row.height);
    ctx.lineTo(x + row.height, row.top);
  }
  ctx.stroke();
  ctx.restore();
}

/** Size the canvas's bitmap for its CSS size on this screen. */
export function fitCanvas(canvas: HTMLCanvasElement, cssWidth: number, cssHeight: number): Sheet {
  const ratio = window.devicePixelRatio || 1;
  const width = Math.round(cssWidth * ratio);
  const height = Math.round(cssHeight * ratio);
  canvas.width = width;
  canvas.height = height;
  canvas.style.width = `${cssWidth}px`;
  canvas.style.height = `${cssHeight}px`;
  const ctx = canvas.getContext("2d");
  if (ctx === null) throw new Error("this browser gives no 2D canvas");
  return { ctx, width, height, ratio };
}

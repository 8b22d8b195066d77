/**
 * Where a sample is on a sweeping screen.
 *
 * A sweep is `widthSamples` samples; sample s of the sweep that began at s0 is at x = (s - s0) * pxPerSample. When the
 * sweep is full the next one begins at x = 0 and the old one is wiped by the erase bar. Column c holds the samples
 * with floor(x) = c.
 */

/** Columns kept empty in front of the newest one. */
export const ERASE_COLUMNS = 10;

export interface Sweep {
  readonly pxPerSample: number;
  readonly columns: number;
  readonly widthSamples: number;
}

/** A sweep is a whole number of these, so that views of different rates stay in step (one big square at 25 mm/s). */
export const SWEEP_STEP_S = 0.2;

/** Seconds of the sweep that fits in `widthPx` pixels at `pxPerS` pixels a second. */
export function sweepSeconds(widthPx: number, pxPerS: number): number {
  return Math.max(1, Math.floor(widthPx / pxPerS / SWEEP_STEP_S + 1e-6)) * SWEEP_STEP_S;
}

/** The sweep that fits in `widthPx` pixels. */
export function sweepOf(widthPx: number, pxPerS: number, rateHz: number): Sweep {
  const pxPerSample = pxPerS / rateHz;
  const widthSamples = Math.max(1, Math.round(sweepSeconds(widthPx, pxPerS) * rateHz));
  const columns = Math.max(1, Math.min(Math.floor(widthPx), Math.ceil(widthSamples * pxPerSample - 1e-6)));
  return { pxPerSample, columns, widthSamples };
}

/** First sample of the sweep that holds sample `s`, when sweeps are counted from `anchor`. */
export function sweepStart(sweep: Sweep, anchor: number, s: number): number {
  return anchor + Math.floor((s - anchor) / sweep.widthSamples) * sweep.widthSamples;
}

/** Number of columns of the sweep at s0 whose ink is decided by the samples before `end` (the one behind included). */
export function completeColumns(sweep: Sweep, s0: number, end: number): number {
  return Math.max(0, Math.min(sweep.columns, Math.floor((end - s0 - 1) * sweep.pxPerSample + 1e-6)));
}

/** The last sample drawn when `columns` columns of the sweep at s0 are drawn. */
export function lastDrawn(sweep: Sweep, s0: number, columns: number): number {
  if (columns >= sweep.columns) return s0 + sweep.widthSamples - 1;
  return s0 + Math.ceil(columns / sweep.pxPerSample - 1e-6) - 1;
}

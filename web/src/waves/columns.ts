/**
 * The highest and lowest value of a trace in every pixel column.
 *
 * The trace is the polyline through the samples. A column gets the extremes of the samples in it and of the polyline
 * where it crosses the column's two edges, so neighbouring columns meet and no sample is left out. Next to a missing
 * sample nothing is interpolated: a column without a sample and without a crossing is a gap.
 */
import { MISSING } from "../protocol/frame";

/** Sample by absolute index; MISSING where there is none. */
export type SampleAt = (index: number) => number;

export interface Extents {
  /** Per column, in sample units; NaN in a gap. */
  readonly low: Float64Array;
  readonly high: Float64Array;
}

export function emptyExtents(columns: number): Extents {
  return { low: new Float64Array(columns).fill(NaN), high: new Float64Array(columns).fill(NaN) };
}

/**
 * Fill `out` for columns [from, to) of a stretch that shows sample s at x = (s - s0) * pxPerSample and nothing from
 * sample `end` on. Columns are numbered from the stretch's x = 0.
 */
export function columnExtents(
  at: SampleAt,
  s0: number,
  end: number,
  pxPerSample: number,
  from: number,
  to: number,
  out: Extents,
): void {
  for (let column = from; column < to; column++) {
    const left = column / pxPerSample;
    const right = (column + 1) / pxPerSample;
    let low = Number.POSITIVE_INFINITY;
    let high = Number.NEGATIVE_INFINITY;
    const firstInside = Math.ceil(left - 1e-9);
    for (let i = firstInside; i < right - 1e-9; i++) {
      if (s0 + i >= end) break;
      const value = at(s0 + i);
      if (value === MISSING) continue;
      if (value < low) low = value;
      if (value > high) high = value;
    }
    for (const edge of [left, right]) {
      const crossing = crossingAt(at, s0, end, edge);
      if (crossing < low) low = crossing;
      if (crossing > high) high = crossing;
    }
    out.low[column] = low <= high ? low : NaN;
    out.high[column] = low <= high ? high : NaN;
  }
}

/** The polyline's value at a position, from the sample before; NaN when a sample it needs is missing or not of the stretch. */
function crossingAt(at: SampleAt, s0: number, end: number, position: number): number {
  const before = Math.ceil(position - 1e-9) - 1;
  const fraction = Math.min(1, position - before);
  if (before < 0 || s0 + before + 1 >= end) return NaN;
  const a = at(s0 + before);
  const b = at(s0 + before + 1);
  return a === MISSING || b === MISSING ? NaN : a + (b - a) * fraction;
}

/** Runs [from, to) of gap columns among [from, to) of the extents. */
export function gapRuns(extents: Extents, from: number, to: number): [number, number][] {
  const runs: [number, number][] = [];
  let start = -1;
  for (let column = from; column < to; column++) {
    const gap = Number.isNaN(extents.low[column]);
    if (gap && start < 0) start = column;
    if (!gap && start >= 0) {
      runs.push([start, column]);
      start = -1;
    }
  }
  if (start >= 0) runs.push([start, to]);
  return runs;
}

/** From runs of samples to the extents of pixel columns of a window, each gap left as one. Pure. */
import { MISSING } from "../protocol/frame";
import { columnExtents, type Extents, emptyExtents } from "../waves/columns";
import type { ColumnRun, Run, SampleRun } from "./answer";
import type { Extent } from "./window";

export interface Projection {
  readonly extents: Extents;
  /** How samples of the last run lie on the columns; null without raw samples. */
  readonly samples: {
    readonly stream: number;
    readonly s0: number;
    readonly head: number;
    readonly pxPerSample: number;
  } | null;
}

/** The channel `name` of the runs (null: the first) over `columns` pixels of the window. */
export function project(runs: readonly Run[], name: string | null, window: Extent, columns: number): Projection {
  const extents = emptyExtents(columns);
  const usPerPx = (window.toUs - window.fromUs) / columns;
  let samples: Projection["samples"] = null;
  for (const run of runs) {
    const at = name === null ? 0 : run.describe.channels.findIndex((channel) => channel.name === name);
    if (at < 0 || run.t0Us >= window.toUs || run.t0Us + run.n * run.usPerStep <= window.fromUs) continue;
    if (run.kind === "samples") samples = projectSamples(run, at, window, usPerPx, columns, extents) ?? samples;
    else projectColumns(run, at, window, usPerPx, columns, extents);
  }
  return { extents, samples };
}

function projectSamples(
  run: SampleRun,
  channel: number,
  window: Extent,
  usPerPx: number,
  columns: number,
  extents: Extents,
): Projection["samples"] {
  const values = run.channels[channel];
  if (values === undefined) return null;
  const pxPerSample = run.usPerStep / usPerPx;
  const s0 = Math.round(run.firstSample + (window.fromUs - run.t0Us) / run.usPerStep);
  const end = run.firstSample + run.n;
  const from = Math.max(0, Math.floor((run.firstSample - s0) * pxPerSample));
  const to = Math.min(columns, Math.ceil((end - s0) * pxPerSample));
  const at = (index: number) => values[index - run.firstSample] ?? MISSING;
  columnExtents(at, s0, end, pxPerSample, from, to, extents);
  const head = Math.min(end, s0 + Math.ceil(columns / pxPerSample)) - 1;
  return { stream: run.describe.stream, s0, head, pxPerSample };
}

function projectColumns(
  run: ColumnRun,
  channel: number,
  window: Extent,
  usPerPx: number,
  columns: number,
  extents: Extents,
): void {
  const minima = run.minima[channel];
  const maxima = run.maxima[channel];
  if (minima === undefined || maxima === undefined) return;
  for (let column = 0; column < columns; column++) {
    const left = (window.fromUs + column * usPerPx - run.t0Us) / run.usPerStep;
    const right = left + usPerPx / run.usPerStep;
    const from = Math.max(0, Math.floor(left + 1e-6));
    const to = Math.min(run.n, Math.ceil(right - 1e-6));
    for (let i = from; i < to; i++) {
      const low = minima[i] as number;
      const high = maxima[i] as number;
      if (low === MISSING || high === MISSING) continue;
      const seenLow = extents.low[column] as number;
      const seenHigh = extents.high[column] as number;
      extents.low[column] = Number.isNaN(seenLow) ? low : Math.min(seenLow, low);
      extents.high[column] = Number.isNaN(seenHigh) ? high : Math.max(seenHigh, high);
    }
  }
}

/** The newest number of each kind that was there at `atUs`. Numbers come in order of time. */
export function numbersAt<T extends { readonly kind: string; readonly at_us: number }>(
  numerics: readonly T[],
  atUs: number,
): Map<string, T> {
  const found = new Map<string, T>();
  for (const numeric of numerics) {
    if (numeric.at_us > atUs) continue;
    const known = found.get(numeric.kind);
    if (known === undefined || known.at_us <= numeric.at_us) found.set(numeric.kind, numeric);
  }
  return found;
}

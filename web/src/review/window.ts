/** Which stretch of a consultation is on the screen, and how it moves. Pure; times are consultation time in µs. */
import { pxPerSecond, SPEEDS_MM_S } from "../waves/paper";

export interface Extent {
  readonly fromUs: number;
  readonly toUs: number;
}

export type Zoom =
  | { readonly kind: "paper"; readonly speedMmS: number }
  | { readonly kind: "time"; readonly seconds: number }
  | { readonly kind: "all" };

/** Nearest first: true paper speeds, then compressed, then everything. */
export const ZOOMS: readonly Zoom[] = [
  ...[...SPEEDS_MM_S].reverse().map((speedMmS): Zoom => ({ kind: "paper", speedMmS })),
  { kind: "time", seconds: 60 },
  { kind: "time", seconds: 300 },
  { kind: "all" },
];

/** Above this a window is asked for as columns: 30 s of 12 leads at 1 kHz are 0.7 MB. */
export const RAW_UP_TO_S = 30;

/** Seconds that a zoom shows on `widthPx`. */
export function zoomSeconds(zoom: Zoom, widthPx: number, pxPerMm: number, whole: Extent): number {
  switch (zoom.kind) {
    case "paper":
      return widthPx / pxPerSecond({ speedMmS: zoom.speedMmS, gainMmMv: 10, pxPerMm });
    case "time":
      return zoom.seconds;
    case "all":
      return Math.max(1, (whole.toUs - whole.fromUs) / 1e6);
  }
}

/** The window of that length nearest to `fromUs` inside the whole; one longer than the whole begins with it. */
export function placed(fromUs: number, seconds: number, whole: Extent): Extent {
  const length = seconds * 1e6;
  const latest = Math.max(whole.fromUs, whole.toUs - length);
  const from = Math.min(Math.max(fromUs, whole.fromUs), latest);
  return { fromUs: from, toUs: from + length };
}

/** The same middle, another length. */
export function zoomed(window: Extent, seconds: number, whole: Extent): Extent {
  const middle = (window.fromUs + window.toUs) / 2;
  return placed(middle - seconds * 5e5, seconds, whole);
}

/** What to ask for so that scrolling one window either way needs no new question. */
export function around(window: Extent, whole: Extent): Extent {
  const length = window.toUs - window.fromUs;
  return {
    fromUs: Math.floor(Math.max(whole.fromUs, window.fromUs - length)),
    toUs: Math.ceil(Math.min(Math.max(whole.toUs, window.toUs), window.toUs + length)),
  };
}

export const covers = (outer: Extent, inner: Extent): boolean =>
  outer.fromUs <= inner.fromUs + 1 && outer.toUs >= inner.toUs - 1;

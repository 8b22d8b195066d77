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

/** The server's longest window (docs/protocol.md, section 7). */
export const WINDOW_MAX_S = 7 * 86_400;
/** Lengths that can be chosen besides paper speeds. */
export const WINDOWS_S = [10, 30, 60, 300, 3_600, 21_600, 86_400, WINDOW_MAX_S] as const;
/** True to the paper, up to the nominal millimetre of a screen that is not calibrated. */
export const PAPERS: readonly Zoom[] = [...SPEEDS_MM_S].reverse().map((speedMmS) => ({ kind: "paper", speedMmS }));
export const FIRST_ZOOM: Zoom = { kind: "paper", speedMmS: 25 };

/** Above this a window is asked for as columns: 30 s of 12 leads at 1 kHz are 0.7 MB. */
export const RAW_UP_TO_S = 30;
/** Up to here an arrow key moves by one second; beyond, a second would not be seen. */
const SECOND_STEPS_UP_TO_S = 30;

export const lengthS = (extent: Extent): number => (extent.toUs - extent.fromUs) / 1e6;

/** What tells one zoom from another, for lists. */
export function zoomKey(zoom: Zoom): string {
  switch (zoom.kind) {
    case "paper":
      return `${zoom.speedMmS}mm`;
    case "time":
      return `${zoom.seconds}s`;
    case "all":
      return "all";
  }
}

/** What can be chosen for this much: every paper speed, the lengths that are shorter than the whole, and the whole. */
export function zoomsFor(whole: Extent): Zoom[] {
  const seconds = lengthS(whole);
  const times = WINDOWS_S.filter((one) => one < seconds).map((one): Zoom => ({ kind: "time", seconds: one }));
  return [...PAPERS, ...times, ...(seconds <= WINDOW_MAX_S ? [{ kind: "all" } as const] : [])];
}

/** The next zoom that shows more (`by` 1) or less (-1) time on this width; the same one at the end. */
export function neighbourZoom(zooms: readonly Zoom[], zoom: Zoom, by: 1 | -1, secondsOf: (z: Zoom) => number): Zoom {
  const here = secondsOf(zoom);
  const beyond = zooms.filter((one) => (secondsOf(one) - here) * by > 1e-6);
  const nearest = (a: Zoom, b: Zoom) => ((secondsOf(b) - secondsOf(a)) * by < 0 ? b : a);
  return beyond.length === 0 ? zoom : beyond.reduce(nearest);
}

/** Seconds that a zoom shows on `widthPx`. */
export function zoomSeconds(zoom: Zoom, widthPx: number, pxPerMm: number, whole: Extent): number {
  switch (zoom.kind) {
    case "paper":
      return widthPx / pxPerSecond({ speedMmS: zoom.speedMmS, gainMmMv: 10, pxPerMm });
    case "time":
      return zoom.seconds;
    case "all":
      return Math.max(1, lengthS(whole));
  }
}

/** How far an arrow key moves a window of this length. */
export const arrowSeconds = (seconds: number): number => (seconds <= SECOND_STEPS_UP_TO_S ? 1 : seconds / 10);

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

/** The window of this length around a time. */
export const centred = (us: number, seconds: number, whole: Extent): Extent =>
  placed(us - seconds * 5e5, seconds, whole);

/** What to ask for so that scrolling one window either way needs no new question; never more than one answer gives. */
export function around(window: Extent, whole: Extent): Extent {
  const length = window.toUs - window.fromUs;
  const margin = Math.max(0, Math.min(length, (WINDOW_MAX_S * 1e6 - length) / 2 - 1));
  return {
    fromUs: Math.floor(Math.max(whole.fromUs, window.fromUs - margin)),
    toUs: Math.ceil(Math.min(Math.max(whole.toUs, window.toUs), window.toUs + margin)),
  };
}

/** The part of the window that is in the whole, in whole microseconds, at least one. */
export function inside(window: Extent, whole: Extent): Extent {
  const fromUs = Math.floor(Math.max(window.fromUs, whole.fromUs));
  return { fromUs, toUs: Math.max(fromUs + 1, Math.ceil(Math.min(window.toUs, whole.toUs))) };
}

/** The extent in parts that one answer can give, in order. */
export function parts(extent: Extent): Extent[] {
  const count = Math.max(1, Math.ceil(lengthS(extent) / WINDOW_MAX_S));
  const at = (k: number) => Math.round(extent.fromUs + ((extent.toUs - extent.fromUs) * k) / count);
  return Array.from({ length: count }, (_, k) => ({ fromUs: at(k), toUs: at(k + 1) }));
}

export const covers = (outer: Extent, inner: Extent): boolean =>
  outer.fromUs <= inner.fromUs + 1 && outer.toUs >= inner.toUs - 1;

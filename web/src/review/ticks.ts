/** Where an axis has its marks: round times by the organisation's clocks, round values. Pure. */
import { zonedTime } from "../i18n/zoned";
import { type Extent, lengthS, WINDOW_MAX_S } from "./window";

const MINUTE_MS = 60_000;
const DAY_S = 86_400;
const TIME_STEPS_S = [
  1,
  2,
  5,
  10,
  30,
  60,
  120,
  300,
  600,
  900,
  1_800,
  3_600,
  7_200,
  10_800,
  21_600,
  43_200,
  DAY_S,
  2 * DAY_S,
  7 * DAY_S,
] as const;
/** Rows of a table of this many are read, not searched. */
const ROWS_MOST = 96;
const ROW_STEPS_S = [10, 30, 60, 300, 600, 900, 1_800, 3_600, 7_200, 21_600, DAY_S] as const;

export interface TimeTick {
  readonly us: number;
  /** Where on the axis, 0 to 1. */
  readonly share: number;
  /** A day begins here. */
  readonly midnight: boolean;
}

export interface TimeAxis {
  readonly stepS: number;
  readonly ticks: readonly TimeTick[];
}

/** How far the zone's clocks are ahead of UTC at that time, in µs. */
export function offsetUs(us: number, zone: string): number {
  const shown = zonedTime(us / 1000, zone);
  const minute = Math.floor(us / 1000 / MINUTE_MS) * MINUTE_MS;
  return (Date.parse(`${shown.date}T${shown.time}:00Z`) - minute) * 1000;
}

/** Round local times, at least `leastPx` apart on `widthPx`. */
export function timeAxis(extent: Extent, widthPx: number, aheadUs: number, leastPx = 96): TimeAxis {
  const length = extent.toUs - extent.fromUs;
  const least = ((length / 1e6) * leastPx) / Math.max(1, widthPx);
  const stepS = TIME_STEPS_S.find((step) => step >= least) ?? 7 * DAY_S;
  const step = stepS * 1e6;
  const ticks: TimeTick[] = [];
  for (let local = Math.ceil((extent.fromUs + aheadUs) / step) * step; local <= extent.toUs + aheadUs; local += step) {
    const us = local - aheadUs;
    ticks.push({ us, share: (us - extent.fromUs) / length, midnight: local % (DAY_S * 1e6) === 0 });
  }
  return { stepS, ticks };
}

/**
 * The rows of a table over an extent: at most `ROWS_MOST` and one, at round times by the zone's clocks; from the
 * extent's own begin where the rounded ones would be more than one answer gives.
 */
export function rowGrid(extent: Extent, aheadUs: number): { fromUs: number; stepUs: number; rows: number } {
  const length = lengthS(extent);
  const stepS = ROW_STEPS_S.find((step) => length / step <= ROWS_MOST) ?? DAY_S;
  const stepUs = stepS * 1e6;
  const round = Math.floor((extent.fromUs + aheadUs) / stepUs) * stepUs - aheadUs;
  const rowsFrom = (fromUs: number) => Math.max(1, Math.ceil((extent.toUs - fromUs) / stepUs));
  const fits = rowsFrom(round) * stepS <= WINDOW_MAX_S;
  const fromUs = fits ? round : Math.floor(extent.fromUs);
  return { fromUs, stepUs, rows: rowsFrom(fromUs) };
}

/** The smallest round step (1, 2, 5 × 10ⁿ) that cuts `span` into at most `most` parts. */
export function roundStep(span: number, most: number): number {
  const least = span / most;
  const power = 10 ** Math.floor(Math.log10(least));
  const factor = [1, 2, 5, 10].find((one) => one * power >= least * (1 - 1e-9)) ?? 10;
  return factor * power;
}

/** Round values from `low` to `high`, ends included. */
export function valueTicks(low: number, high: number, most: number): number[] {
  const step = roundStep(high - low, most);
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

/**
 * From sample units to pixels down the canvas: y = baselineY - physical * pxPerUnit.
 *
 * A calibrated channel has a fixed pxPerUnit (gain of the paper); the others are fitted to their row and carry no
 * mm/mV label.
 */
import { MISSING } from "../protocol/frame";
import type { Channel } from "../protocol/messages";
import type { SampleAt } from "./columns";
import { millivoltsPer, type Paper, pxPerMillivolt } from "./paper";

export interface VerticalScale {
  /** y = originY - sample * pxPerSampleUnit */
  readonly originY: number;
  readonly pxPerSampleUnit: number;
  /** Canvas y of the value zero, and pixels a millivolt (calibrated) or a unit (fitted). */
  readonly baselineY: number;
  readonly pxPerUnit: number;
  readonly calibrated: boolean;
}

/** Share of its row that a fitted trace fills. */
const FILL = 0.82;
/** A trace whose middle is further than this from zero (raw, unfiltered) is moved back into its row. */
export const CENTRE_BEYOND_MV = 0.75;

export const isCalibrated = (kind: string, channel: Channel): boolean =>
  kind === "ecg" && channel.gain !== null && channel.offset !== null && millivoltsPer(channel.unit) !== null;

/** The scale of a calibrated channel whose value `middleMv` is drawn at `middleY`. */
export function calibratedScale(channel: Channel, paper: Paper, middleY: number, middleMv = 0): VerticalScale {
  const toMillivolt = millivoltsPer(channel.unit) ?? 1;
  const pxPerUnit = pxPerMillivolt(paper);
  const baselineY = middleY + middleMv * pxPerUnit;
  return {
    originY: baselineY - (channel.offset ?? 0) * toMillivolt * pxPerUnit,
    pxPerSampleUnit: (channel.gain ?? 1) * toMillivolt * pxPerUnit,
    baselineY,
    pxPerUnit,
    calibrated: true,
  };
}

/** The scale that fits the samples [from, end) into the row; null while there is nothing to fit. */
export function fittedScale(
  at: SampleAt,
  from: number,
  end: number,
  middleY: number,
  rowPx: number,
): VerticalScale | null {
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (let i = from; i < end; i++) {
    const value = at(i);
    if (value === MISSING) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (low > high) return null;
  const pxPerSampleUnit = (FILL * rowPx) / Math.max(high - low, 1);
  const originY = middleY + ((low + high) / 2) * pxPerSampleUnit;
  return { originY, pxPerSampleUnit, baselineY: originY, pxPerUnit: pxPerSampleUnit, calibrated: false };
}

/** Middle value of the samples [from, end) in sample units, from at most `points` of them; null when none is there. */
export function middleOf(at: SampleAt, from: number, end: number, points = 500): number | null {
  const step = Math.max(1, Math.floor((end - from) / points));
  const values: number[] = [];
  for (let i = from; i < end; i += step) {
    const value = at(i);
    if (value !== MISSING) values.push(value);
  }
  values.sort((a, b) => a - b);
  return values[Math.floor(values.length / 2)] ?? null;
}

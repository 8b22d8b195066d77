/**
 * How old a number is and whether it may still be shown. Pure: times come in, words for the tile go out.
 *
 * A continuous number turns grey after twice its usual period and to "--" after 10 s; a single measurement (blood
 * pressure, temperature) keeps its value and says when it was taken.
 */
import type { Numeric } from "../protocol/messages";

export const CONTINUOUS_KINDS: ReadonlySet<string> = new Set(["heart_rate", "pulse_rate", "spo2", "respiration_rate"]);
export const GONE_AFTER_MS = 10_000;
/** The period that is assumed before three readings have shown another. */
export const ASSUMED_PERIOD_MS = 2_000;
/** A single measurement turns grey after this: it is history, not the present. */
export const SINGLE_STALE_MS = 15 * 60_000;
const REMEMBERED = 5;

export type Freshness = "fresh" | "stale" | "gone";

export interface Reading {
  readonly numeric: Numeric;
  readonly intervalsMs: readonly number[];
}

/** The reading after this one, remembering how often they come. */
export function nextReading(previous: Reading | undefined, numeric: Numeric): Reading {
  if (previous === undefined || previous.numeric.source !== numeric.source) return { numeric, intervalsMs: [] };
  const interval = (numeric.at_us - previous.numeric.at_us) / 1000;
  if (interval <= 0) return { numeric, intervalsMs: previous.intervalsMs };
  return { numeric, intervalsMs: [...previous.intervalsMs, interval].slice(-REMEMBERED) };
}

export function periodMs(reading: Reading): number {
  if (reading.intervalsMs.length < 3) return ASSUMED_PERIOD_MS;
  const sorted = [...reading.intervalsMs].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? ASSUMED_PERIOD_MS;
}

/** Age in ms, never negative (the server's clock is known to a few ms only). */
export function ageMs(reading: Reading, serverUs: number): number {
  return Math.max(0, (serverUs - reading.numeric.at_us) / 1000);
}

export function freshness(reading: Reading, serverUs: number): Freshness {
  const age = ageMs(reading, serverUs);
  if (!CONTINUOUS_KINDS.has(reading.numeric.kind)) return age > SINGLE_STALE_MS ? "stale" : "fresh";
  if (age > GONE_AFTER_MS) return "gone";
  return age > Math.max(2 * periodMs(reading), ASSUMED_PERIOD_MS) ? "stale" : "fresh";
}

/** The digits as the device sent them, with the language's decimal mark; blood pressure as 120/80. */
export function valueText(numeric: Numeric, language: string): string | null {
  if (numeric.value === null) return null;
  const mark = (digits: string) => (language === "bg" ? digits.replace(".", ",") : digits);
  if (numeric.kind !== "blood_pressure") return mark(numeric.value);
  const diastolic = numeric.extra.diastolic;
  return `${mark(numeric.value)}/${diastolic == null ? "--" : mark(diastolic)}`;
}

/** Times and lengths of a review in words. */
import { language, t } from "../i18n";
import type { Key } from "../i18n/keys";
import { clockTime, decimal, zone } from "../i18n/numbers";
import type { TimeAxis, TimeTick } from "./ticks";
import type { Extent } from "./window";

const HOUR_S = 3_600;
const DAY_S = 86_400;

/** 22.11. or 22/11. */
export function dayMonth(ms: number): string {
  return new Intl.DateTimeFormat(language.value === "bg" ? "bg" : "en-GB", {
    timeZone: zone.value,
    day: "2-digit",
    month: "2-digit",
  }).format(ms);
}

/** The time of day, with the day where the whole has more than one. */
export function momentWords(us: number, whole: Extent, seconds = true): string {
  const ms = us / 1000;
  const time = clockTime(ms, seconds);
  return dayMonth(whole.fromUs / 1000) === dayMonth(whole.toUs / 1000) ? time : `${dayMonth(ms)}, ${time}`;
}

/** The words at a mark of a time axis. */
export function tickWords(axis: TimeAxis, tick: TimeTick): string {
  const ms = tick.us / 1000;
  if (axis.stepS >= DAY_S || tick.midnight) return dayMonth(ms);
  return clockTime(ms, axis.stepS < 60);
}

/** 57 ms, 10 s, 5 min, 6 h, 7 days; a length between these with one digit behind the mark. */
export function lengthWords(seconds: number): string {
  const [value, key]: [number, Key] =
    seconds < 1
      ? [seconds * 1000, "review.milliseconds"]
      : seconds < 60
        ? [seconds, "review.seconds"]
        : seconds < HOUR_S
          ? [seconds / 60, "review.minutes"]
          : seconds < 2 * DAY_S
            ? [seconds / HOUR_S, "review.hours"]
            : [seconds / DAY_S, "review.days"];
  const round = seconds < 1 || Math.abs(value - Math.round(value)) < 0.05;
  const text = decimal(value, round ? 0 : 1);
  return t(key, { value: text, number: value });
}

const KINDS: Readonly<Record<string, Key>> = {
  ecg: "kind.ecg",
  pleth: "kind.pleth",
  respiration: "kind.respiration",
  spo2: "kind.spo2",
  blood_pressure: "kind.blood_pressure",
  temperature: "kind.temperature",
  heart_rate: "kind.heart_rate",
  pulse_rate: "numeric.pulse_rate",
  respiration_rate: "numeric.respiration_rate",
};
const UNITS: Readonly<Record<string, Key>> = {
  heart_rate: "unit.beats",
  pulse_rate: "unit.beats",
  spo2: "unit.percent",
  respiration_rate: "unit.breaths",
  blood_pressure: "unit.mmhg",
  temperature: "unit.celsius",
};

/** The name of a signal or a number. */
export const kindWords = (kind: string): string => t(KINDS[kind] ?? "kind.other");

/** The unit of a number, in the page's words. */
export function unitWords(kind: string, unit: string): string {
  const key = UNITS[kind];
  return key === undefined ? unit : t(key);
}

/** Times in words that say the day only when it is not today. */
import { t } from "../i18n";
import { clockTime, day } from "../i18n/numbers";
import { now } from "./ticking";

/** 14:05, or 22.11.2025 г., 14:05 on another day. */
export function whenWords(at: number | string): string {
  const instant = typeof at === "string" ? Date.parse(at) : at;
  return day(instant) === day(now.value) ? clockTime(instant) : `${day(instant)}, ${clockTime(instant)}`;
}

/** How long ago, in minutes, with the time. */
export function sinceWords(at: string): string {
  const minutes = Math.max(0, Math.floor((now.value - Date.parse(at)) / 60_000));
  return t("when.since", { time: whenWords(at), minutes });
}

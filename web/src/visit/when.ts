/** When a visit is, in words for somebody who looks for the day first. */
import { language, t } from "../i18n";
import { clockTime, zone } from "../i18n/numbers";
import { spanOf } from "./countdown";

/** "today at 14:30", "tomorrow at 14:30" or "Monday, 24 November 2026, at 14:30", by the server's day. */
export function whenWords(at: number, nowMs: number | null): string {
  const time = clockTime(at);
  if (nowMs !== null) {
    if (dayKey(at) === dayKey(nowMs)) return t("join.today", { time });
    if (dayKey(at) === dayKey(nowMs + 24 * 3_600_000)) return t("join.tomorrow", { time });
  }
  const date = new Intl.DateTimeFormat(language.value === "bg" ? "bg" : "en-GB", {
    timeZone: zone.value,
    weekday: "long",
    day: "numeric",
    month: "long",
    year: "numeric",
  }).format(at);
  return t("join.on_day", { date, time });
}

const dayKey = (at: number): string =>
  new Intl.DateTimeFormat("en-CA", { timeZone: zone.value, dateStyle: "short" }).format(at);

/** How long it is until then: the two largest parts only; seconds only at the end. */
export function untilWords(ms: number): string {
  const { days, hours, minutes, seconds } = spanOf(ms);
  if (days > 0) return t("join.until_days", { days, hours });
  if (hours > 0) return t("join.until_hours", { hours, minutes });
  if (minutes > 0) return t("join.until_minutes", { minutes, seconds });
  return t("join.until_seconds", { seconds });
}

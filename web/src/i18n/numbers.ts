/** Numbers and times as the language writes them, in the organisation's zone. */
import { signal } from "@preact/signals";
import { language } from "./index";

/** The organisation's zone once somebody is signed in. */
export const zone = signal("Europe/Sofia");

/** With the language's decimal mark and exactly `decimals` digits behind it. */
export function decimal(value: number, decimals = 0): string {
  return new Intl.NumberFormat(language.value, {
    minimumFractionDigits: decimals,
    maximumFractionDigits: decimals,
    useGrouping: false,
  }).format(value);
}

/** 14:05 or 14:05:30, always 24 hours. */
export function clockTime(at: Date | number, seconds = false): string {
  return new Intl.DateTimeFormat(language.value === "bg" ? "bg" : "en-GB", {
    timeZone: zone.value,
    hour: "2-digit",
    minute: "2-digit",
    ...(seconds ? { second: "2-digit" } : {}),
    hourCycle: "h23",
  })
    .format(at)
    .replace(/ ?ч\.$/, "");
}

/** Day, month and year: 22.11.2025 г. or 22/11/2025. */
export function day(at: Date | number): string {
  return new Intl.DateTimeFormat(language.value === "bg" ? "bg" : "en-GB", {
    timeZone: zone.value,
    day: "2-digit",
    month: "2-digit",
    year: "numeric",
  }).format(at);
}

/** 4:05 or 1:04:05 for a length of time. */
export function duration(ms: number): string {
  const total = Math.max(0, Math.floor(ms / 1000));
  const two = (value: number) => String(value).padStart(2, "0");
  const hours = Math.floor(total / 3600);
  const minutes = Math.floor(total / 60) % 60;
  return hours > 0 ? `${hours}:${two(minutes)}:${two(total % 60)}` : `${minutes}:${two(total % 60)}`;
}

/** A text that a machine wrote with decimal points, with the language's decimal mark. */
export function withDecimalMark(text: string): string {
  return language.value === "bg" ? text.replace(/(\d)\.(\d)/g, "$1,$2") : text;
}

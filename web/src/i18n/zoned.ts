/** Days and times as a zone's clocks show them, to and from UTC; and as people type them. Pure. */

/** What a zone's calendar and clock show at an instant. */
export interface ZonedTime {
  /** YYYY-MM-DD */
  readonly date: string;
  /** HH:MM */
  readonly time: string;
}

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
const two = (value: number) => String(value).padStart(2, "0");
const formats = new Map<string, Intl.DateTimeFormat>();

/** The zone's date and time at an instant, ms since 1970 UTC. */
export function zonedTime(at: number, zone: string): ZonedTime {
  let format = formats.get(zone);
  if (format === undefined) {
    format = new Intl.DateTimeFormat("en-GB", {
      timeZone: zone,
      year: "numeric",
      month: "2-digit",
      day: "2-digit",
      hour: "2-digit",
      minute: "2-digit",
      hourCycle: "h23",
    });
    formats.set(zone, format);
  }
  const parts = Object.fromEntries(format.formatToParts(at).map((part) => [part.type, part.value]));
  return { date: `${parts.year}-${parts.month}-${parts.day}`, time: `${parts.hour}:${parts.minute}` };
}

/**
 * The instant (ms since 1970 UTC) at which the zone's clocks show this; null when they never do (the hour that spring
 * leaves out). Where they show it twice, the earlier one.
 */
export function instantOf(shown: ZonedTime, zone: string): number | null {
  const naive = Date.parse(`${shown.date}T${shown.time}:00Z`);
  if (Number.isNaN(naive)) return null;
  // The zone's distance from UTC a day before and a day after: one of the two holds at the instant itself.
  const candidates = [naive - DAY_MS, naive + DAY_MS].map((at) => naive - offset(at, zone));
  const right = candidates.filter((at) => {
    const back = zonedTime(at, zone);
    return back.date === shown.date && back.time === shown.time;
  });
  return right.length === 0 ? null : Math.min(...right);
}

function offset(at: number, zone: string): number {
  const { date, time } = zonedTime(at, zone);
  return Date.parse(`${date}T${time}:00Z`) - Math.floor(at / MINUTE_MS) * MINUTE_MS;
}

/** A day as people type it (22.11.2025, 22/11/25, 2025-11-22, 22.11), YYYY-MM-DD; null when there is no such day. */
export function dayTyped(text: string, today: string): string | null {
  const bare = text
    .trim()
    .replace(/\s*г\.?$/u, "")
    .replace(/\s+/g, "");
  const iso = /^(\d{4})-(\d{1,2})-(\d{1,2})$/.exec(bare);
  const local = /^(\d{1,2})[./-](\d{1,2})(?:[./-](\d{2}|\d{4}))?\.?$/.exec(bare);
  const [year, month, date] =
    iso !== null
      ? [Number(iso[1]), Number(iso[2]), Number(iso[3])]
      : local !== null
        ? [fullYear(local[3], today), Number(local[2]), Number(local[1])]
        : [0, 0, 0];
  const text10 = `${String(year).padStart(4, "0")}-${two(month)}-${two(date)}`;
  const parsed = new Date(`${text10}T00:00:00Z`);
  return year >= 1900 && !Number.isNaN(parsed.getTime()) && parsed.toISOString().startsWith(text10) ? text10 : null;
}

function fullYear(text: string | undefined, today: string): number {
  if (text === undefined) return Number(today.slice(0, 4));
  return text.length === 2 ? 2000 + Number(text) : Number(text);
}

/** A time as people type it (9:30, 09.30, 0930, 9), HH:MM; null when no clock shows it. */
export function timeTyped(text: string): string | null {
  const bare = text.trim().replace(/\s*(ч|h)\.?$/iu, "");
  const match = /^(\d{1,2})(?:[:.,h\s](\d{2}))?$/.exec(bare) ?? /^(\d{1,2})(\d{2})$/.exec(bare);
  if (match === null) return null;
  const hour = Number(match[1]);
  const minute = Number(match[2] ?? "0");
  return hour < 24 && minute < 60 ? `${two(hour)}:${two(minute)}` : null;
}

/** 22.11.2025 of 2025-11-22, as a field shows it in both languages. */
export function dayField(date: string): string {
  const [year, month, day] = date.split("-");
  return `${day}.${month}.${year}`;
}

/** The day so many days later. */
export function daysLater(date: string, days: number): string {
  return new Date(Date.parse(`${date}T00:00:00Z`) + days * DAY_MS).toISOString().slice(0, 10);
}

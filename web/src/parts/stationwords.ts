/** What a station's last status means for whoever looks at a page: what waits there, what is wrong. Pure. */
import type { Key } from "../i18n/keys";
import type { StationStatus } from "../protocol/messages";

export interface StationFact {
  readonly key: Key;
  readonly params: Record<string, number>;
  readonly warning: boolean;
}

/** A healthy line has everything here within a second; younger than this is not worth a word. */
export const WAITS_S = 10;
/** A clock that is off by less disturbs nobody; the protocol corrects any. */
export const CLOCK_OFF_S = 2;

const MINUTE_S = 60;
const HOUR_S = 3600;
const MEGABYTE = 1_000_000;

/** What is to be said, the most urgent first; nothing while all is well. */
export function stationFacts(status: StationStatus | null): StationFact[] {
  const facts: StationFact[] = [];
  const queue = status?.queue;
  if (status?.state === "spool_full" || queue?.state === "full") {
    facts.push({ key: "station.full", params: {}, warning: true });
  } else if (queue?.state === "nearly_full") {
    facts.push({ key: "station.nearly_full", params: { hours: queue.hours_left ?? 0 }, warning: true });
  }
  if (queue !== undefined && queue.chunks > 0 && (queue.oldest_s ?? 0) >= WAITS_S) {
    const megabytes = Math.max(0.1, queue.bytes / MEGABYTE);
    facts.push({ ...spanned("waits", queue.oldest_s ?? 0, { megabytes }), warning: false });
  }
  const offset_s = (status?.clock?.offset_us ?? 0) / 1e6;
  if (Math.abs(offset_s) > CLOCK_OFF_S) {
    // The server's clock less the station's: below zero the station's is ahead.
    facts.push({ ...spanned(offset_s < 0 ? "ahead" : "behind", Math.abs(offset_s)), warning: false });
  }
  if ((queue?.unreadable ?? 0) > 0) {
    facts.push({ key: "station.unreadable", params: { files: queue?.unreadable ?? 0 }, warning: true });
  }
  return facts;
}

/** By which unit the length is said. */
const SPANS = {
  waits: { s: "station.waits_s", min: "station.waits_min", h: "station.waits_h" },
  ahead: { s: "station.clock_ahead_s", min: "station.clock_ahead_min", h: "station.clock_ahead_h" },
  behind: { s: "station.clock_behind_s", min: "station.clock_behind_min", h: "station.clock_behind_h" },
} as const satisfies Record<string, Record<string, Key>>;

function spanned(
  span: keyof typeof SPANS,
  seconds: number,
  params: Record<string, number> = {},
): Omit<StationFact, "warning"> {
  const keys = SPANS[span];
  if (seconds < MINUTE_S) return { key: keys.s, params: { ...params, seconds: Math.round(seconds) } };
  if (seconds < HOUR_S) return { key: keys.min, params: { ...params, minutes: Math.round(seconds / MINUTE_S) } };
  return { key: keys.h, params: { ...params, hours: seconds / HOUR_S } };
}

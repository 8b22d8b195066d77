/** Which consultation stands in which part of the work list. Pure. */
import { zonedTime } from "../i18n/zoned";
import type { ConsultationInfo } from "../protocol/messages";

export interface Groups {
  /** Appointments of today and those of before that nobody dealt with, by time. */
  readonly today: readonly ConsultationInfo[];
  /** Appointments of later days, by time. */
  readonly later: readonly ConsultationInfo[];
  /** Longest waiting first. */
  readonly waiting: readonly ConsultationInfo[];
  readonly live: readonly ConsultationInfo[];
  /** Newest first. */
  readonly ended: readonly ConsultationInfo[];
}

/** `nowMs` is the present; days are those of `zone`. */
export function grouped(consultations: readonly ConsultationInfo[], nowMs: number, zone: string): Groups {
  const by = (states: readonly string[]) => consultations.filter((one) => states.includes(one.state));
  const time = (text: string | null) => (text === null ? 0 : Date.parse(text));
  const today = zonedTime(nowMs, zone).date;
  const isLater = (one: ConsultationInfo) => zonedTime(time(one.scheduled_at), zone).date > today;
  const scheduled = by(["scheduled"]).sort((a, b) => time(a.scheduled_at) - time(b.scheduled_at));
  return {
    today: scheduled.filter((one) => !isLater(one)),
    later: scheduled.filter(isLater),
    waiting: by(["waiting"]).sort((a, b) => time(a.waiting_at) - time(b.waiting_at)),
    live: by(["live", "interrupted"]),
    ended: by(["ended", "signed", "amended"]).sort((a, b) => time(b.ended_at) - time(a.ended_at)),
  };
}

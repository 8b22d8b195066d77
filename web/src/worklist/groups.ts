/** Which consultation stands in which part of the work list. Pure. */
import type { ConsultationInfo } from "../protocol/messages";

export interface Groups {
  /** Longest waiting first. */
  readonly waiting: readonly ConsultationInfo[];
  readonly live: readonly ConsultationInfo[];
  /** Newest first. */
  readonly ended: readonly ConsultationInfo[];
}

export function grouped(consultations: readonly ConsultationInfo[]): Groups {
  const by = (states: readonly string[]) => consultations.filter((one) => states.includes(one.state));
  const time = (text: string | null) => (text === null ? 0 : Date.parse(text));
  return {
    waiting: by(["waiting"]).sort((a, b) => time(a.waiting_at) - time(b.waiting_at)),
    live: by(["live", "interrupted"]),
    ended: by(["ended", "signed", "amended"]).sort((a, b) => time(b.ended_at) - time(a.ended_at)),
  };
}

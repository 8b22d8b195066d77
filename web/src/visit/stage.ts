/** Which page of a visit stands on the screen, from what is known. Pure. */
import type { TicketShown } from "../api/guests";
import type { ConsultationState } from "../api/types";
import type { GuestRole, PlaceShown, SeatState, VisitShown } from "../protocol/people";

export type Stage =
  | "looking"
  | "fault"
  | "invitation"
  | "joining"
  | "checking"
  | "place"
  | "early"
  | "waiting"
  | "call"
  | "elsewhere"
  | "over"
  | "cancelled"
  | "missed"
  | "left"
  | "removed"
  | "refused";

export interface StageFacts {
  readonly ticket: TicketShown | null;
  readonly visit: VisitShown | null;
  /** A refusal that trying again does not mend. */
  readonly fault: string | null;
  readonly joining: boolean;
  /** The person tries camera and sound. */
  readonly checking: boolean;
  readonly placeSkipped: boolean;
  readonly elsewhere: boolean;
  /** The server's clock, ms since 1970; null before it is known. */
  readonly nowMs: number | null;
}

const OVER: ReadonlySet<ConsultationState> = new Set(["ended", "signed", "amended"]);
const OUT: ReadonlySet<SeatState> = new Set(["left", "removed", "refused"]);

export function stageOf(facts: StageFacts): Stage {
  const { visit } = facts;
  if (visit === null) {
    if (facts.fault !== null) return "fault";
    if (facts.ticket === null) return "looking";
    const done = endOf(facts.ticket.state);
    if (done !== null) return done;
    if (facts.joining) return "joining";
    return facts.checking ? "checking" : "invitation";
  }
  // Sent away stays sent away, whatever became of the visit.
  if (visit.seat_state === "removed" || visit.seat_state === "refused") return visit.seat_state;
  const done = endOf(visit.state);
  if (done !== null) return done;
  if (OUT.has(visit.seat_state)) return "left";
  if (facts.fault !== null) return "fault";
  if (facts.elsewhere) return "elsewhere";
  if (inCall(visit)) return "call";
  if (facts.checking) return "checking";
  if (asksPlace(visit.role, visit.place) && !facts.placeSkipped) return "place";
  return isEarly(visit.state, visit.arrives_from, facts.nowMs) ? "early" : "waiting";
}

/** The page of a visit that is over, however it ended; null while it is not. */
export function endOf(state: ConsultationState): "over" | "cancelled" | "missed" | null {
  if (OVER.has(state)) return "over";
  if (state === "cancelled") return "cancelled";
  return state === "no_show" ? "missed" : null;
}

export function inCall(visit: VisitShown): boolean {
  return visit.seat_state === "admitted" && (visit.state === "live" || visit.state === "interrupted");
}

/** Where somebody is matters for those whom an ambulance may have to find. */
export function asksPlace(role: GuestRole, place: PlaceShown | null): boolean {
  if (role !== "patient" && role !== "relative") return false;
  return place === null || (place.address === "" && place.phone === "");
}

/** The door of an appointment is still closed. Nothing is early while the server's clock is unknown. */
export function isEarly(state: ConsultationState, arrivesFrom: string | null, nowMs: number | null): boolean {
  return state === "scheduled" && arrivesFrom !== null && nowMs !== null && nowMs < Date.parse(arrivesFrom);
}

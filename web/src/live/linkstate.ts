/** In which of the named states the station's data is, from facts that are all times or flags. Pure. */

export type LinkState =
  | "connecting"
  | "waiting"
  | "live"
  | "delayed"
  | "interrupted"
  | "recovering"
  | "offline"
  | "ended";

export const DELAYED_MS = 1_000;
export const INTERRUPTED_MS = 3_000;

export interface LinkFacts {
  readonly socket: "connecting" | "open" | "lost" | "refused";
  readonly openedBefore: boolean;
  readonly ended: boolean;
  readonly stationOnline: boolean;
  /** Age of the last frame that arrived; null before the first. */
  readonly silentMs: number | null;
  /** How late the newest sample on the screen is. */
  readonly lagMs: number;
}

export function linkState(facts: LinkFacts): LinkState {
  if (facts.ended) return "ended";
  if (facts.socket !== "open") return facts.openedBefore ? "recovering" : "connecting";
  if (!facts.stationOnline) return "offline";
  if (facts.silentMs === null) return "waiting";
  if (facts.silentMs > INTERRUPTED_MS) return "interrupted";
  return facts.lagMs > DELAYED_MS ? "delayed" : "live";
}

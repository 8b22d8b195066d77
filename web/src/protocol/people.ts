/** Who is in a consultation's room and what they share there: people, lines of chat, publications, a guest's visit. */
import type { Line, PlaceShown, SharedFile, VisitShown } from "../api/types";

export type { Line, PlaceShown, SharedFile, VisitShown };

export type GuestRole = "patient" | "relative" | "interpreter" | "second_clinician";
export type Role = GuestRole | "clinician" | "operator" | "station";
export type Network = "good" | "fair" | "poor" | "unknown";
export type Source = "camera" | "exam" | "screen";
export type SeatState = "waiting" | "admitted" | "refused" | "removed" | "left";

/** One person (or the station) of a consultation. `id` is an account's, a seat's or `station:<n>`. */
export interface Person {
  readonly id: string;
  readonly kind: "account" | "guest" | "station";
  readonly role: Role;
  /** A guest is told the clinicians' names and its own. */
  readonly name: string | null;
  /** A guest's place at the door; null for everybody else. */
  readonly seat: "waiting" | "admitted" | null;
  /** Which browser of its ticket this is; 1 is the first. */
  readonly device: number;
  readonly here: boolean;
  readonly camera: boolean;
  readonly microphone: boolean;
  readonly screen: boolean;
  readonly network: Network;
}

export interface Publication {
  readonly id: string;
  readonly by: Role;
  readonly participant: string;
  readonly source: Source;
  readonly kinds: readonly ("audio" | "video")[];
  /** Its publisher's line is too poor for the picture. */
  readonly paused?: boolean;
}

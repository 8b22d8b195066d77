/** The JSON messages of docs/protocol.md, section 5, as the page reads them. */

import type { ConsultationInfo, ConsultationState, Origin, PatientInfo } from "../api/types";
import type { Line, Person, Publication, VisitShown } from "./people";

export type { ConsultationInfo, ConsultationState, Line, Origin, PatientInfo, Person, Publication, VisitShown };

/** The fields of the status message (section 4) that pages read, and `clock`, which the server adds. */
export interface StationStatus {
  readonly queue?: {
    readonly chunks: number;
    readonly bytes: number;
    readonly oldest_s?: number | null;
    readonly state?: "ok" | "nearly_full" | "full" | null;
    readonly hours_left?: number | null;
    readonly unreadable?: number;
  };
  readonly call?: { readonly state: "idle" | "connecting" | "connected" };
  readonly scenario?: string | null;
  readonly state?: "recording" | "spool_full";
  readonly clock?: { readonly offset_us: number; readonly error_us: number } | null;
}

export interface StationPresence {
  readonly online: boolean;
  readonly status: StationStatus | null;
}

export interface StreamInfo {
  readonly stream: number;
  readonly kind: string;
  readonly device: string;
  readonly origin: Origin;
  readonly channels: readonly string[];
  readonly views: readonly string[];
  readonly live: boolean;
}

export interface Channel {
  readonly name: string;
  readonly unit: string;
  /** physical = sample × gain + offset, in `unit`; null when the device does not say. */
  readonly gain: number | null;
  readonly offset: number | null;
}

export interface FilterInfo {
  readonly kind: string;
  readonly phase: "causal" | "zero";
  readonly delay_ms: number;
  readonly label: string;
}

export interface Describe {
  readonly view: number;
  readonly stream: number;
  readonly kind: string;
  readonly name: string;
  readonly origin: Origin;
  readonly channels: readonly Channel[];
  readonly rate: readonly [number, number];
  readonly filter: FilterInfo | null;
  readonly first_sample: number;
}

export interface Numeric {
  readonly kind: string;
  readonly value: string | null;
  readonly unit: string;
  readonly at_us: number;
  readonly source: string;
  readonly origin: Origin;
  readonly derived: boolean;
  readonly quality: readonly string[];
  readonly extra: Readonly<Record<string, string | null>>;
}

export interface ErrorBody {
  readonly code: string;
  readonly params?: Readonly<Record<string, string | number>>;
}

export type ServerMessage =
  | {
      readonly type: "welcome";
      readonly server: string;
      /** For staff; a guest has `visit` instead, and no station. */
      readonly consultation?: ConsultationInfo;
      readonly visit?: VisitShown;
      readonly station?: StationPresence;
      readonly me: string;
      readonly people: readonly Person[];
      readonly publications: readonly Publication[];
      readonly streams: readonly StreamInfo[];
    }
  | { readonly type: "visit"; readonly visit: VisitShown }
  | { readonly type: "people"; readonly people: readonly Person[] }
  | { readonly type: "chat"; readonly lines: readonly Line[]; readonly through: number }
  | { readonly type: "muted" }
  | { readonly type: "elsewhere" }
  | { readonly type: "consultation"; readonly consultation: ConsultationInfo }
  | { readonly type: "publications"; readonly publications: readonly Publication[] }
  | ({ readonly type: "station" } & StationPresence)
  | { readonly type: "streams"; readonly streams: readonly StreamInfo[] }
  | ({ readonly type: "describe" } & Describe)
  | ({ readonly type: "numeric" } & Numeric)
  | { readonly type: "dropped"; readonly view: number; readonly frames: number }
  /** What of a picture that is played here this page's own line carries. */
  | { readonly type: "picture"; readonly publication: string; readonly level: "high" | "low" | "paused" }
  | { readonly type: "clock_ask"; readonly server_us: number }
  /** Each second of each picture and voice that is played. */
  | { readonly type: "sender_report" }
  /** `line` names the line that was refused. */
  | { readonly type: "error"; readonly error: ErrorBody; readonly line?: string };

const KNOWN = new Set([
  "welcome",
  "consultation",
  "visit",
  "people",
  "chat",
  "muted",
  "elsewhere",
  "publications",
  "station",
  "streams",
  "describe",
  "numeric",
  "dropped",
  "clock_ask",
  "sender_report",
  "picture",
  "error",
]);

/** The message, or null when the text is not one this page knows (a newer server may say more). */
export function parseMessage(text: string): ServerMessage | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  if (typeof value !== "object" || value === null || !("type" in value)) return null;
  return typeof value.type === "string" && KNOWN.has(value.type) ? (value as ServerMessage) : null;
}

/** Which trace stands where: rows top to bottom with their canvases. Pure; lengths in the caller's px. */
import { type Paper, pxPerMillivolt } from "./paper";

/** Standard order of twelve leads (IEC 60601-2-25), then whatever else the device sends. */
export const LEAD_ORDER = ["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"] as const;
export const RHYTHM_LEAD = "II";
/** How far an ECG canvas reaches beyond its row, mV up and down: a tall R is drawn whole. */
export const OVERHANG_MV = 2.5;
/** Room above the first row for its R peaks, mm; less where the board is low. */
export const HEADROOM_MM = 12;
const HEADROOM_SHARE = 0.08;

export type BoardLayout = "examine" | "talk";
/** A review shows every row but the rhythm strip. */
export type RowLayout = BoardLayout | "review";
export type RowKind = "ecg" | "rhythm" | "pleth" | "respiration";

export interface RowPlan {
  readonly id: string;
  readonly rowKind: RowKind;
  readonly streamKind: "ecg" | "pleth" | "respiration";
  /** Channel's name in its stream; null: the first one. */
  readonly channel: string | null;
  readonly top: number;
  readonly height: number;
  readonly canvasTop: number;
  readonly canvasHeight: number;
}

/** Heights relative to each other; a lead row is 1. */
const WEIGHT: Record<RowKind, number> = { ecg: 1, rhythm: 1.9, pleth: 1.7, respiration: 1.3 };

/** The leads of a stream in standard order. */
export function orderedLeads(channels: readonly string[]): string[] {
  const rank = (name: string) => {
    const at = LEAD_ORDER.findIndex((lead) => lead.toLowerCase() === name.toLowerCase());
    return at < 0 ? LEAD_ORDER.length : at;
  };
  return [...channels].sort((a, b) => rank(a) - rank(b));
}

/** Rows for the leads that are there and the strips below them, filling `height` below the head-room. */
export function planRows(
  layout: RowLayout,
  leads: readonly string[],
  strips: readonly ("pleth" | "respiration")[],
  height: number,
  paper: Paper,
): RowPlan[] {
  const rhythm = leads.find((lead) => lead.toLowerCase() === RHYTHM_LEAD.toLowerCase()) ?? leads[0];
  const wanted: { id: string; rowKind: RowKind; streamKind: RowPlan["streamKind"]; channel: string | null }[] = [];
  if (layout !== "talk") {
    for (const lead of orderedLeads(leads)) wanted.push({ id: lead, rowKind: "ecg", streamKind: "ecg", channel: lead });
  }
  if (rhythm !== undefined && layout !== "review") {
    wanted.push({ id: "rhythm", rowKind: "rhythm", streamKind: "ecg", channel: rhythm });
  }
  if (layout !== "talk") {
    for (const strip of strips) wanted.push({ id: strip, rowKind: strip, streamKind: strip, channel: null });
  }
  const total = wanted.reduce((sum, row) => sum + WEIGHT[row.rowKind], 0);
  const ecg = wanted[0]?.streamKind === "ecg";
  const headroom = ecg ? Math.floor(Math.min(HEADROOM_MM * paper.pxPerMm, HEADROOM_SHARE * height)) : 0;
  let top = headroom;
  return wanted.map((row) => {
    const rowHeight = Math.floor(((height - headroom) * WEIGHT[row.rowKind]) / total);
    const overhang = row.streamKind === "ecg" ? Math.round(OVERHANG_MV * pxPerMillivolt(paper)) : 0;
    const plan = { ...row, top, height: rowHeight, canvasTop: top - overhang, canvasHeight: rowHeight + 2 * overhang };
    top += rowHeight;
    return plan;
  });
}

/** What an export of a window will hold, before it is asked for. Pure: from the review's summary alone. */
import type { ExportFormat } from "../api/review";
import type { ReviewAnswer } from "../api/types";
import { type Extent, inside, lengthS } from "./window";

/** The server's bounds (docs/protocol.md, section 7). */
export const EXPORT_MAX_S = 24 * 3_600;
export const CSV_VALUES = 50_000_000;

export const FORMATS: readonly ExportFormat[] = ["edf", "wfdb", "csv"];
/** Bytes of a sample in the files, before the zip: as int16, and as text of about so many characters. */
const BYTES: Record<ExportFormat, number> = { edf: 2, wfdb: 2, csv: 8 };

export interface ExportedSignal {
  readonly kind: string;
  readonly device: string;
  readonly channels: readonly string[];
  readonly rateHz: number;
  /** How much of the window it covers. */
  readonly seconds: number;
  readonly values: number;
}

export interface ExportPlan {
  readonly signals: readonly ExportedSignal[];
  /** Measured numbers by kind. */
  readonly numbers: readonly { readonly kind: string; readonly count: number }[];
  /** Later numbers than the page was told of may be in it. */
  readonly moreNumbers: boolean;
  /** What is in the window and no patient's own. */
  readonly leftOut: readonly { readonly kind: string; readonly device: string; readonly origin: string }[];
  readonly tooLong: boolean;
}

/** The shown window as it is asked for: the last reading of the whole belongs to it, but for the longest export's sake. */
export function exportedOf(window: Extent, whole: Extent): Extent {
  const extent = inside(window, whole);
  const last = extent.toUs >= whole.toUs && lengthS(extent) < EXPORT_MAX_S;
  return last ? { ...extent, toUs: extent.toUs + 1 } : extent;
}

/** What is stored of the extent: measured signals and numbers, and whatever else is kept out of an export. */
export function planOf(answer: ReviewAnswer, extent: Extent): ExportPlan {
  const signals: ExportedSignal[] = [];
  const leftOut = new Map<string, { kind: string; device: string; origin: string }>();
  const keepOut = (kind: string, device: string, origin: string) =>
    leftOut.set(JSON.stringify([kind, device, origin]), { kind, device, origin });
  for (const stream of answer.streams) {
    const rateHz = stream.rate[0] / stream.rate[1];
    const seconds = stream.segments.reduce((sum, one) => sum + overlapS(one.from_us, one.to_us, extent), 0);
    if (seconds <= 0) continue;
    const { kind, device, channels } = stream;
    if (stream.origin !== "measured") keepOut(kind, device, stream.origin);
    else signals.push({ kind, device, channels, rateHz, seconds, values: seconds * rateHz * channels.length });
  }
  const numbers = new Map<string, number>();
  for (const one of answer.numerics) {
    if (one.at_us < extent.fromUs || one.at_us >= extent.toUs) continue;
    if (one.origin !== "measured") keepOut(one.kind, one.source, one.origin);
    else numbers.set(one.kind, (numbers.get(one.kind) ?? 0) + 1);
  }
  return {
    signals,
    numbers: [...numbers].map(([kind, count]) => ({ kind, count })),
    moreNumbers: answer.numerics_truncated && extent.toUs > (answer.numerics.at(-1)?.at_us ?? 0),
    leftOut: [...leftOut.values()],
    tooLong: lengthS(extent) > EXPORT_MAX_S,
  };
}

const overlapS = (fromUs: number, toUs: number, extent: Extent): number =>
  Math.max(0, (Math.min(toUs, extent.toUs) - Math.max(fromUs, extent.fromUs)) / 1e6);

const valuesOf = (plan: ExportPlan): number => plan.signals.reduce((sum, signal) => sum + signal.values, 0);

/** Whether there is anything that the server would export, as far as the page knows. */
export const hasAny = (plan: ExportPlan): boolean =>
  plan.signals.length > 0 || plan.numbers.length > 0 || plan.moreNumbers;

/** Whether the format takes that many samples. */
export const takes = (plan: ExportPlan, format: ExportFormat): boolean =>
  !plan.tooLong && (format !== "csv" || valuesOf(plan) <= CSV_VALUES);

/** About how many megabytes the unpacked waves are. */
export const megabytes = (plan: ExportPlan, format: ExportFormat): number => (valuesOf(plan) * BYTES[format]) / 1e6;

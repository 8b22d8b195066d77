/** What one question for waves may cost, and so which view of a window can be asked for. Pure. */
import type { View } from "../api/review";
import type { ReviewAnswer } from "../api/types";
import type { Extent } from "./window";

/** Samples × channels of a filtered answer: the server's bound, an hour of 12 leads at 1 kHz (docs/protocol.md, 7). */
export const FILTERED_VALUES = 43_200_000;
/** Beyond this the margins are left away: the server filters for a second, and nobody may scroll there. */
export const EASY_VALUES = 12_000_000;
/** The diagnostic band needs this many samples a second. */
const DIAGNOSTIC_HZ = 400;

type Streams = ReviewAnswer["streams"];

/** Samples × channels that are stored of a kind in an extent. */
export function valuesIn(streams: Streams, kind: string, extent: Extent): number {
  let values = 0;
  for (const stream of streams) {
    if (stream.kind !== kind) continue;
    for (const segment of stream.segments) {
      const from = Math.max(segment.from_us, extent.fromUs);
      const to = Math.min(segment.to_us, extent.toUs);
      const length = Math.max(1, segment.to_us - segment.from_us);
      if (to > from) values += ((segment.n * (to - from)) / length) * stream.channels.length;
    }
  }
  return values;
}

/** The view to ask for when `chosen` is wished: the band of an ECG is no other signal's, and too much is not filtered. */
export function viewFor(streams: Streams, kind: string, extent: Extent, chosen: View): View {
  if (chosen === "raw" || valuesIn(streams, kind, extent) > FILTERED_VALUES) return "raw";
  return kind === "ecg" ? chosen : "monitor";
}

/** Whether the margins around a window can be asked for with it. */
export const isEasy = (streams: Streams, kinds: readonly string[], extent: Extent): boolean =>
  kinds.every((kind) => valuesIn(streams, kind, extent) <= EASY_VALUES);

/** Whether every ECG that is stored can be shown in the diagnostic band. */
export function hasDiagnostic(streams: Streams): boolean {
  const ecg = streams.filter((stream) => stream.kind === "ecg");
  return ecg.length > 0 && ecg.every(({ rate: [samples, seconds] }) => samples / seconds >= DIAGNOSTIC_HZ);
}

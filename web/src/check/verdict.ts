/** What the call check found, in a word: from figures of the relay's loop to good, fair, poor or none. Pure. */

export type Verdict = "good" | "fair" | "poor" | "none";

/** One look at the loop, about a second after the one before; counters count from the start. */
export interface LoopSample {
  readonly atMs: number;
  readonly received: number;
  readonly lost: number;
  readonly bytes: number;
  /** Seconds there and back; null while unknown. */
  readonly roundTripS: number | null;
}

export interface LoopFigures {
  /** Share of packets that did not come back, 0 … 1. */
  readonly loss: number;
  /** Median, ms; null when the browser never told. */
  readonly roundTripMs: number | null;
  /** Of the second half, when the browser has found its pace. */
  readonly kbitS: number;
}

/** The same limits as the badge in the call. */
export const GOOD = { loss: 0.02, roundTripMs: 200 } as const;
export const FAIR = { loss: 0.05, roundTripMs: 400 } as const;
/** A real picture below this is a blur. */
export const BLUR_KBIT_S = 80;
/** So few packets say nothing. */
const FEWEST_PACKETS = 50;

/** The figures of a loop; null when too little came back to say anything. */
export function figuresOf(samples: readonly LoopSample[]): LoopFigures | null {
  const first = samples[0];
  const last = samples.at(-1);
  if (first === undefined || last === undefined || samples.length < 2) return null;
  const received = last.received - first.received;
  const lost = Math.max(0, last.lost - first.lost);
  if (received < FEWEST_PACKETS) return null;
  const middle = samples[Math.floor((samples.length - 1) / 2)] ?? first;
  const seconds = (last.atMs - middle.atMs) / 1000;
  const trips = samples.flatMap((sample) => (sample.roundTripS === null ? [] : [sample.roundTripS * 1000]));
  trips.sort((a, b) => a - b);
  return {
    loss: lost / (received + lost),
    roundTripMs: trips[Math.floor(trips.length / 2)] ?? null,
    kbitS: seconds > 0 ? ((last.bytes - middle.bytes) * 8) / 1000 / seconds : 0,
  };
}

/** The word for the figures. `picture`: a real camera was sent, so its bit rate means something. */
export function verdictOf(figures: LoopFigures | null, picture: boolean): Verdict {
  if (figures === null) return "none";
  const within = (limit: { loss: number; roundTripMs: number }) =>
    figures.loss < limit.loss && (figures.roundTripMs ?? 0) < limit.roundTripMs;
  if (!within(FAIR) || (picture && figures.kbitS < BLUR_KBIT_S)) return "poor";
  return within(GOOD) ? "good" : "fair";
}

/**
 * How one's own line is: from the statistics of every leg, each MEASURE_MS, to a word and an advice. The word is told to
 * the room (`state`), so that everybody sees whose line is poor.
 */
import { effect, signal, untracked } from "@preact/signals";
import type { Key } from "../i18n/keys";
import type { Network } from "../protocol/people";
import type { RoomCall } from "./call";
import type { RoomConnection } from "./connection";

export const MEASURE_MS = 5_000;
/** Good below both, fair below both, else poor. */
export const GOOD = { loss: 0.02, rttMs: 200 } as const;
export const FAIR = { loss: 0.05, rttMs: 400 } as const;
/** So few packets say nothing about loss. */
const PACKETS_LEAST = 20;

export interface LineFacts {
  /** Share of packets lost on the worse way, 0–1; null when it cannot be told. */
  readonly loss: number | null;
  readonly rttMs: number | null;
  readonly downKbitS: number;
  readonly upKbitS: number;
}

export const NO_FACTS: LineFacts = { loss: null, rttMs: null, downKbitS: 0, upKbitS: 0 };

/** Counts since the legs began; differences of two of them are a line's facts. */
export interface LineCounts {
  readonly received: number;
  readonly lost: number;
  readonly bytesDown: number;
  readonly bytesUp: number;
  /** The worst share of what is sent that the other side reports lost, 0–1. */
  readonly sentLoss: number | null;
  readonly rttMs: number | null;
}

/** The word for a line; unknown while neither loss nor round trip can be told. */
export function networkOf({ loss, rttMs }: Pick<LineFacts, "loss" | "rttMs">): Network {
  if (loss === null && rttMs === null) return "unknown";
  const within = (bound: { loss: number; rttMs: number }) => (loss ?? 0) < bound.loss && (rttMs ?? 0) < bound.rttMs;
  if (within(GOOD)) return "good";
  return within(FAIR) ? "fair" : "poor";
}

/** What one can do about it; null when there is nothing to do. */
export function adviceOf(network: Network, cameraOn: boolean): Key | null {
  if (network === "fair") return "line.advice_fair";
  if (network !== "poor") return null;
  return cameraOn ? "line.advice_camera" : "line.advice_poor";
}

type Row = Readonly<Record<string, unknown>>;
const number = (value: unknown): number => (typeof value === "number" && Number.isFinite(value) ? value : 0);

/** Add up the reports of all legs. */
export function countsOf(reports: Iterable<Iterable<Row>>): LineCounts {
  let [received, lost, bytesDown, bytesUp] = [0, 0, 0, 0];
  let sentLoss: number | null = null;
  let rttMs: number | null = null;
  for (const report of reports) {
    for (const row of report) {
      if (row.type === "inbound-rtp") {
        received += number(row.packetsReceived);
        lost += Math.max(0, number(row.packetsLost));
        bytesDown += number(row.bytesReceived);
      } else if (row.type === "outbound-rtp") bytesUp += number(row.bytesSent);
      else if (row.type === "remote-inbound-rtp") {
        if (typeof row.fractionLost === "number") sentLoss = Math.max(sentLoss ?? 0, row.fractionLost);
      } else if (row.type === "candidate-pair" && row.nominated === true) {
        if (typeof row.currentRoundTripTime === "number") rttMs = Math.max(rttMs ?? 0, row.currentRoundTripTime * 1000);
      }
    }
  }
  return { received, lost, bytesDown, bytesUp, sentLoss, rttMs };
}

/** The facts of the time between two counts. A leg that was made anew counts from zero: then nothing is said of loss. */
export function factsBetween(before: LineCounts, after: LineCounts, ms: number): LineFacts {
  const received = after.received - before.received;
  const lost = after.lost - before.lost;
  const down = received >= 0 && lost >= 0 && received + lost >= PACKETS_LEAST ? lost / (received + lost) : null;
  const loss = down === null ? after.sentLoss : Math.max(down, after.sentLoss ?? 0);
  const rate = (a: number, b: number) => Math.max(0, Math.round(((b - a) * 8) / Math.max(ms, 1)));
  return {
    loss,
    rttMs: after.rttMs === null ? null : Math.round(after.rttMs),
    downKbitS: rate(before.bytesDown, after.bytesDown),
    upKbitS: rate(before.bytesUp, after.bytesUp),
  };
}

/** Measures while the call runs. */
export class LineWatch {
  readonly facts = signal<LineFacts>(NO_FACTS);
  readonly network = signal<Network>("unknown");
  private before: { readonly counts: LineCounts; readonly atMs: number } | null = null;
  private timer: ReturnType<typeof setInterval> | undefined;
  private readonly endFollowing: () => void;

  constructor(
    private readonly room: RoomConnection,
    private readonly call: RoomCall,
  ) {
    this.endFollowing = effect(() => {
      const run = room.inCall.value;
      untracked(() => this.run(run));
    });
  }

  close(): void {
    this.endFollowing();
    clearInterval(this.timer);
  }

  private run(run: boolean): void {
    clearInterval(this.timer);
    this.before = null;
    if (run) this.timer = setInterval(() => void this.measure(), MEASURE_MS);
    else this.tell(NO_FACTS);
  }

  private async measure(): Promise<void> {
    const reports = await Promise.all(this.call.legs().map((leg) => leg.stats()));
    const there = reports.filter((report) => report !== null).map((report) => [...report.values()] as Row[]);
    const now = { counts: countsOf(there), atMs: performance.now() };
    const { before } = this;
    this.before = there.length === 0 ? null : now;
    if (there.length === 0) this.tell(NO_FACTS);
    else if (before !== null) this.tell(factsBetween(before.counts, now.counts, now.atMs - before.atMs));
  }

  private tell(facts: LineFacts): void {
    this.facts.value = facts;
    this.network.value = networkOf(facts);
    this.room.state({ network: this.network.value });
  }
}

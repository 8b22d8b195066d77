/** One watched view: its newest description, its samples, its play-out. */
import { type Frame, sampleIndex } from "../protocol/frame";
import type { Describe } from "../protocol/messages";
import type { BoardView } from "../waves/board";
import { Playout } from "../waves/playout";
import { SampleRing } from "../waves/ring";

/** Kept on the page: more than two sweeps of the slowest paper on the widest screen. */
export const KEPT_S = 90;

const NOTHING: Describe = {
  view: -1,
  stream: -1,
  kind: "",
  name: "",
  origin: "measured",
  channels: [],
  rate: [1, 1],
  filter: null,
  first_sample: 0,
};

export class LiveView implements BoardView {
  /** The connection's number of this view; null while it is not described on this connection. */
  number: number | null = null;
  describe: Describe = NOTHING;
  ring = new SampleRing(1, 1);
  playout = new Playout(1);
  electrodesOff = 0;
  /** Consultation time of absolute sample `t0Sample`, µs. */
  private t0Us = 0;
  private t0Sample = 0;

  constructor(readonly kind: string) {}

  /** A description came: the first one, one on a new connection, or one of a filter that began anew. */
  restart(describe: Describe): void {
    const known = this.describe;
    this.describe = describe;
    this.number = describe.view;
    const same = known.channels.length === describe.channels.length && rateOf(known) === rateOf(describe);
    if (same && known !== NOTHING) return;
    this.ring = new SampleRing(describe.channels.length, Math.ceil(KEPT_S * rateOf(describe)));
    this.playout = new Playout(rateOf(describe));
  }

  take(frame: Frame, nowMs: number): void {
    const first = sampleIndex(frame.firstSample);
    if (first === null || frame.codec !== "raw" || frame.channels !== this.ring.channels) return;
    this.ring.write(first, frame.n, frame.samples);
    this.playout.arrived(first + frame.n, nowMs);
    this.electrodesOff = frame.electrodesOff;
    this.t0Us = frame.t0Us;
    this.t0Sample = first;
  }

  /** Consultation time of the newest sample that may be on the screen at `nowMs`, µs; null before any. */
  shownUs(nowMs: number): number | null {
    if (this.ring.empty) return null;
    const shown = Math.min(this.ring.end, this.playout.position(nowMs));
    return this.t0Us + ((shown - this.t0Sample) * 1e6) / rateOf(this.describe);
  }
}

const rateOf = (describe: Describe): number => describe.rate[0] / describe.rate[1];

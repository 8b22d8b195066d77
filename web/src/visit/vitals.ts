/** Numbers and one rhythm strip for a guest, as long as the clinician shares them. No DOM. */
import { signal } from "@preact/signals";
import { LiveView } from "../live/view";
import type { Frame } from "../protocol/frame";
import type { ServerMessage, StreamInfo } from "../protocol/messages";
import { nextReading, type Reading } from "../vitals/numerics";
import type { BoardView } from "../waves/board";

/** The one wave a guest sees, and how it is filtered. */
const KIND = "ecg";
const VIEW = "monitor";
/** A view that was asked for and not described in this time is asked for once more. */
const ASK_AGAIN_MS = 2_000;

export class GuestVitals {
  readonly streams = signal<readonly StreamInfo[]>([]);
  readonly readings = signal<ReadonlyMap<string, Reading>>(new Map());
  /** There is a wave to draw. */
  readonly drawn = signal(false);
  private readonly view = new LiveView(KIND);
  private watched: number | null = null;
  private askedMs = 0;

  constructor(private readonly watch: (stream: number, view: string) => void) {}

  viewOf(kind: string): BoardView | undefined {
    return kind === KIND && this.drawn.value ? this.view : undefined;
  }

  message(message: ServerMessage): void {
    switch (message.type) {
      case "welcome":
        this.view.number = null;
        this.watched = null;
        this.take(message.streams);
        break;
      case "visit":
        if (!message.visit.vitals_shared) this.clear();
        break;
      case "streams":
        this.take(message.streams);
        break;
      case "describe":
        if (message.stream !== this.watched) break;
        this.view.restart(message);
        this.drawn.value = true;
        break;
      case "numeric":
        this.readings.value = new Map(this.readings.value).set(
          message.kind,
          nextReading(this.readings.value.get(message.kind), message),
        );
        break;
      default:
    }
  }

  frame(frame: Frame): void {
    if (frame.view === this.view.number) this.view.take(frame, performance.now());
  }

  /** They are no longer shared: nothing of them stays on the page. */
  private clear(): void {
    this.streams.value = [];
    this.readings.value = new Map();
    this.drawn.value = false;
    this.watched = null;
    this.view.number = null;
  }

  private take(streams: readonly StreamInfo[]): void {
    this.streams.value = streams;
    const ecg = streams.filter((stream) => stream.kind === KIND && stream.live);
    const newest = ecg.reduce<StreamInfo | null>((a, b) => (a === null || b.stream > a.stream ? b : a), null);
    if (newest === null) {
      if (streams.length === 0) this.clear();
      return;
    }
    const nowMs = performance.now();
    const asked = newest.stream === this.watched && this.view.number === null && nowMs - this.askedMs < ASK_AGAIN_MS;
    if (asked || (newest.stream === this.watched && this.view.number !== null)) return;
    this.watched = newest.stream;
    this.askedMs = nowMs;
    this.watch(newest.stream, newest.views.includes(VIEW) ? VIEW : (newest.views[0] ?? VIEW));
  }
}

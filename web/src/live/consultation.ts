/**
 * One open consultation on a clinician's page: the room, its call and line, the station's views and numbers. No DOM.
 *
 * For each kind of wave the newest live stream is watched, in the view the person chose. A view's ring outlives the
 * connection, so a hole while the line was down keeps its true length.
 */
import { signal } from "@preact/signals";
import { api } from "../api/client";
import { noticeSignedOut, signInEnded } from "../parts/account";
import type { Frame } from "../protocol/frame";
import type { Describe, Numeric, ServerMessage, StreamInfo } from "../protocol/messages";
import { RoomCall } from "../room/call";
import { RoomConnection } from "../room/connection";
import { LineWatch } from "../room/line";
import { nextReading, type Reading } from "../vitals/numerics";
import type { BoardView } from "../waves/board";
import { takesPart } from "./standing";
import { LiveView } from "./view";

export const WAVE_KINDS = ["ecg", "pleth", "respiration"] as const;
/** A view that was asked for and not described in this time is asked for once more (a stream may be listed early). */
const ASK_AGAIN_MS = 2_000;

export type ViewName = "monitor" | "raw";

export class LiveConsultation {
  readonly readings = signal<ReadonlyMap<string, Reading>>(new Map());
  readonly ecgView = signal<ViewName>("monitor");
  /** Counts what changed about the views, for whoever shows their names. */
  readonly viewsChanged = signal(0);
  readonly badFrames = signal(0);
  readonly room: RoomConnection;
  readonly call: RoomCall;
  readonly line: LineWatch;
  lastFrameMs: number | null = null;
  private readonly views = new Map<string, LiveView>();
  private readonly byNumber = new Map<number, LiveView>();
  private readonly shown = new Map<string, LiveView>();
  private readonly described = new Map<string, Describe>();
  /** Views asked for on this connection and not yet described, and when. */
  private readonly asked = new Map<string, number>();
  private readonly askingAgain = setInterval(() => this.watchNewest(), ASK_AGAIN_MS);
  private readonly followLoss: () => void;

  /** `account` is who looks: it may watch while it takes part. */
  constructor(
    id: string,
    private readonly account: string | null,
  ) {
    this.room = new RoomConnection(id, null, {
      takesPart: (info) => takesPart(info, account),
      onMessage: (message) => this.message(message),
      onFrame: (frame) => this.frame(frame),
      onBadFrame: () => {
        this.badFrames.value++;
      },
    });
    this.call = new RoomCall(this.room);
    this.line = new LineWatch(this.room, this.call);
    this.followLoss = this.room.socketState.subscribe((state) => {
      // A socket that is refused at its door is not told why: the API says whether the sign-in is over.
      if (state === "lost") void api.me().catch(noticeSignedOut);
    });
  }

  get info() {
    return this.room.info;
  }

  get station() {
    return this.room.station;
  }

  get streams() {
    return this.room.streams;
  }

  get clock() {
    return this.room.clock;
  }

  /** Everything here is over at once; resolves when the server has ended the call too. */
  close(): Promise<void> {
    clearInterval(this.askingAgain);
    this.followLoss();
    this.line.close();
    const ended = this.call.close();
    this.room.close();
    return ended;
  }

  /** As `close`, and what was said and not confirmed is not kept in this browser. */
  forget(): Promise<void> {
    const ended = this.close();
    this.room.forget();
    return ended;
  }

  /** The view that stands on the screen for a kind of wave. */
  viewOf(kind: string): BoardView | undefined {
    return this.shown.get(kind);
  }

  /** The last description of a view of a kind, whether it is on the screen or not. */
  describeOf(kind: string, name: string): Describe | undefined {
    return this.described.get(`${kind} ${name}`);
  }

  /** How late the newest ECG (or other) sample on the screen is at `nowMs`, ms; 0 before any and before the clock is known. */
  lagMs(nowMs: number): number {
    const view = this.shown.get("ecg") ?? this.shown.values().next().value;
    const shownUs = view?.shownUs(nowMs) ?? null;
    return shownUs === null || !this.clock.known ? 0 : Math.max(0, (this.clock.serverUs() - shownUs) / 1000);
  }

  chooseEcgView(name: ViewName): void {
    if (name === this.ecgView.value) return;
    this.ecgView.value = name;
    this.watchNewest();
  }

  private message(message: ServerMessage): void {
    switch (message.type) {
      case "welcome":
        this.byNumber.clear();
        this.asked.clear();
        for (const view of this.views.values()) view.number = null;
        this.watchNewest();
        break;
      case "consultation":
      case "streams":
        this.watchNewest();
        break;
      case "describe": {
        const { type: _, ...describe } = message;
        const view = this.views.get(`${describe.stream} ${describe.name}`);
        if (view === undefined) break;
        view.restart(describe);
        this.byNumber.set(describe.view, view);
        this.shown.set(describe.kind, view);
        this.described.set(`${describe.kind} ${describe.name}`, describe);
        this.viewsChanged.value++;
        break;
      }
      case "numeric":
        this.number(message);
        break;
      case "error":
        if (message.error.code !== "not_signed_in") break;
        void this.close();
        signInEnded();
        break;
      default:
    }
  }

  private number(message: Numeric): void {
    const next = new Map(this.readings.value);
    next.set(message.kind, nextReading(next.get(message.kind), message));
    this.readings.value = next;
  }

  private frame(frame: Frame): void {
    const now = performance.now();
    this.lastFrameMs = now;
    this.byNumber.get(frame.view)?.take(frame, now);
  }

  /** Watch the newest live stream of each kind, and stop watching what it replaces. */
  private watchNewest(): void {
    if (!takesPart(this.info.value, this.account)) return;
    for (const kind of WAVE_KINDS) {
      const candidates = this.streams.value.filter((stream) => stream.kind === kind && stream.live);
      const newest = candidates.reduce<StreamInfo | null>((a, b) => (a === null || b.stream > a.stream ? b : a), null);
      if (newest === null) continue;
      const wanted = kind === "ecg" ? this.ecgView.value : "monitor";
      const name = newest.views.includes(wanted) ? wanted : (newest.views[0] ?? "raw");
      const key = `${newest.stream} ${name}`;
      for (const [otherKey, view] of this.views) {
        if (view.kind !== kind || otherKey === key) continue;
        if (view.number !== null) this.room.unwatch(view.number);
        this.views.delete(otherKey);
        this.asked.delete(otherKey);
      }
      const view = this.views.get(key) ?? new LiveView(kind);
      this.views.set(key, view);
      const now = performance.now();
      if (view.number !== null || now - (this.asked.get(key) ?? -ASK_AGAIN_MS) < ASK_AGAIN_MS) continue;
      this.asked.set(key, now);
      this.room.watch(newest.stream, name);
    }
  }
}

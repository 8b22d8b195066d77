/**
 * One open consultation on this page: its socket, its views and its numbers. No DOM.
 *
 * For each kind of wave the newest live stream is watched, in the view the person chose. A view's ring outlives the
 * connection, so a hole while the line was down keeps its true length.
 */
import { signal } from "@preact/signals";
import { api } from "../api/client";
import { Call } from "../media/call";
import { noticeSignedOut, signInEnded } from "../parts/account";
import { PageClock } from "../protocol/clock";
import type { Frame } from "../protocol/frame";
import type {
  ConsultationInfo,
  Describe,
  ErrorBody,
  Numeric,
  ServerMessage,
  StationPresence,
  StreamInfo,
} from "../protocol/messages";
import { ConsultationSocket, type SocketState } from "../protocol/socket";
import { nextReading, type Reading } from "../vitals/numerics";
import type { BoardView } from "../waves/board";
import { LiveView } from "./view";

export const WAVE_KINDS = ["ecg", "pleth", "respiration"] as const;
/** A view that was asked for and not described in this time is asked for once more (a stream may be listed early). */
const ASK_AGAIN_MS = 2_000;

export type ViewName = "monitor" | "raw";

export class LiveConsultation {
  readonly info = signal<ConsultationInfo | null>(null);
  readonly station = signal<StationPresence>({ online: false, status: null });
  readonly streams = signal<readonly StreamInfo[]>([]);
  readonly socketState = signal<SocketState>("connecting");
  readonly lostAtMs = signal<number | null>(null);
  readonly readings = signal<ReadonlyMap<string, Reading>>(new Map());
  readonly ecgView = signal<ViewName>("monitor");
  /** Counts what changed about the views, for whoever shows their names. */
  readonly viewsChanged = signal(0);
  readonly refusal = signal<ErrorBody | null>(null);
  readonly badFrames = signal(0);
  readonly clock = new PageClock();
  readonly call: Call;
  lastFrameMs: number | null = null;
  private readonly socket: ConsultationSocket;
  private readonly views = new Map<string, LiveView>();
  private readonly byNumber = new Map<number, LiveView>();
  private readonly shown = new Map<string, LiveView>();
  private readonly described = new Map<string, Describe>();
  /** Views asked for on this connection and not yet described, and when. */
  private readonly asked = new Map<string, number>();
  private readonly askingAgain = setInterval(() => this.watchNewest(), ASK_AGAIN_MS);
  private server: string | null = null;

  constructor(id: string) {
    this.call = new Call(id);
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const url = `${scheme}://${location.host}/ws/consultations/${id}`;
    this.socket = new ConsultationSocket(url, crypto.randomUUID(), this.clock, {
      onState: (state, sinceMs) => this.connection(state, sinceMs),
      onMessage: (message) => this.message(message),
      onFrame: (frame) => this.frame(frame),
      onBadFrame: () => {
        this.badFrames.value++;
      },
    });
    this.socket.start();
  }

  /** Everything here is over at once; resolves when the server has ended the call too. */
  close(): Promise<void> {
    clearInterval(this.askingAgain);
    this.socket.close();
    return this.call.close();
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

  private connection(state: SocketState, sinceMs: number): void {
    this.socketState.value = state;
    if (state === "open") this.lostAtMs.value = null;
    else if (state === "lost") {
      this.lostAtMs.value ??= sinceMs;
      // A socket that is refused at its door is not told why: the API says whether the sign-in is over.
      void api.me().catch(noticeSignedOut);
    }
  }

  private message(message: ServerMessage): void {
    switch (message.type) {
      case "welcome": {
        const other = this.server !== null && this.server !== message.server;
        this.server = message.server;
        this.byNumber.clear();
        this.asked.clear();
        for (const view of this.views.values()) view.number = null;
        this.station.value = message.station;
        this.streams.value = message.streams;
        this.consultation(message.consultation);
        if (other) this.call.serverChanged();
        this.call.setPublications(message.publications);
        this.watchNewest();
        break;
      }
      case "consultation":
        this.consultation(message.consultation);
        break;
      case "publications":
        this.call.setPublications(message.publications);
        break;
      case "station":
        this.station.value = { online: message.online, status: message.status };
        break;
      case "streams":
        this.streams.value = message.streams;
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
        this.refusal.value = message.error;
        if (message.error.code === "not_signed_in") {
          void this.close();
          signInEnded();
        }
        break;
      default:
    }
  }

  private consultation(info: ConsultationInfo): void {
    this.info.value = info;
    this.call.setLive(info.state === "live" || info.state === "interrupted");
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
    for (const kind of WAVE_KINDS) {
      const candidates = this.streams.value.filter((stream) => stream.kind === kind && stream.live);
      const newest = candidates.reduce<StreamInfo | null>((a, b) => (a === null || b.stream > a.stream ? b : a), null);
      if (newest === null) continue;
      const wanted = kind === "ecg" ? this.ecgView.value : "monitor";
      const name = newest.views.includes(wanted) ? wanted : (newest.views[0] ?? "raw");
      const key = `${newest.stream} ${name}`;
      for (const [otherKey, view] of this.views) {
        if (view.kind !== kind || otherKey === key) continue;
        if (view.number !== null) this.socket.unwatch(view.number);
        this.views.delete(otherKey);
        this.asked.delete(otherKey);
      }
      const view = this.views.get(key) ?? new LiveView(kind);
      this.views.set(key, view);
      const now = performance.now();
      if (view.number !== null || now - (this.asked.get(key) ?? -ASK_AGAIN_MS) < ASK_AGAIN_MS) continue;
      this.asked.set(key, now);
      this.socket.watch(newest.stream, name);
    }
  }
}

/**
 * One person's connection to a consultation's room, for staff (`as` is null) and for guests (`as` is the seat).
 *
 * Everything the server tells is in signals. A line that was said stays in `pending` until the server's LINE of it comes
 * back, and is sent again, under the same name, after every reconnect; the lines shown have no hole. No DOM.
 */
import { computed, signal } from "@preact/signals";
import { ApiError } from "../api/client";
import { room } from "../api/room";
import { PageClock } from "../protocol/clock";
import type { Frame } from "../protocol/frame";
import type { ConsultationInfo, ErrorBody, ServerMessage, StationPresence, StreamInfo } from "../protocol/messages";
import type { Line, Network, Person, Publication, VisitShown } from "../protocol/people";
import { ConsultationSocket, type SocketState } from "../protocol/socket";
import { ChatLog } from "./chatlog";
import { Outbox } from "./outbox";
import { onWake } from "./wake";

/** Lines the server has and that did not come by themselves in this time are asked for. */
const CHAT_PATIENCE_MS = 1_000;

export interface PageState {
  readonly camera: boolean;
  readonly microphone: boolean;
  readonly screen: boolean;
  readonly network: Network;
}

/** What else a page wants to hear of: vital signs, and a server that is another than before. */
export interface RoomListener {
  /** Staff: whether this person takes part, so that picture and sound may flow; without it everybody does. */
  takesPart?(info: ConsultationInfo): boolean;
  onMessage?(message: ServerMessage): void;
  onFrame?(frame: Frame): void;
  onBadFrame?(code: string): void;
}

export class RoomConnection {
  readonly socketState = signal<SocketState>("connecting");
  /** Since when there is no connection, by performance.now(); null while there is one. */
  readonly lostAtMs = signal<number | null>(null);
  /** This person's participant id; null before the first welcome. */
  readonly me = signal<string | null>(null);
  readonly people = signal<readonly Person[]>([]);
  /** Confirmed lines, in order, without a hole. */
  readonly lines = signal<readonly Line[]>([]);
  /** The chat as it was when this person came is here; lines from now on are new. */
  readonly caughtUp = signal(false);
  readonly publications = signal<readonly Publication[]>([]);
  /** Publications whose picture this page's own line does not carry now. */
  readonly tooPoor = signal<ReadonlySet<string>>(new Set());
  /** For staff. */
  readonly info = signal<ConsultationInfo | null>(null);
  /** For a guest. */
  readonly visit = signal<VisitShown | null>(null);
  readonly station = signal<StationPresence>({ online: false, status: null });
  readonly streams = signal<readonly StreamInfo[]>([]);
  /** Another page of this person took over: nothing is sent or played here until `continueHere`. */
  readonly elsewhere = signal(false);
  /** How many times a clinician switched this person's microphone off. */
  readonly mutedTimes = signal(0);
  /** The last refusal the server told. */
  readonly refusal = signal<ErrorBody | null>(null);
  /** Which run of the server answers, and how many welcomes it has been. */
  readonly server = signal<string | null>(null);
  readonly welcomes = signal(0);
  /** Whether picture and sound may flow to and from this person now. */
  readonly inCall = computed(() => this.callMayRun());
  readonly clock = new PageClock();
  readonly outbox: Outbox;
  private readonly socket: ConsultationSocket;
  private readonly log = new ChatLog();
  private readonly stopWaking: () => void;
  private said: PageState = { camera: false, microphone: false, screen: false, network: "unknown" };
  private asking = false;
  private patience: ReturnType<typeof setTimeout> | undefined;
  private closed = false;

  constructor(
    readonly id: string,
    readonly as: string | null,
    private readonly listener: RoomListener = {},
    open?: (url: string) => WebSocket,
  ) {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const seat = as === null ? "" : `?as=${as}`;
    this.outbox = new Outbox(
      id,
      as,
      (message) => this.socket.send(message),
      (line) => this.chat([line], line.n),
    );
    this.socket = new ConsultationSocket(
      `${scheme}://${location.host}/ws/consultations/${id}${seat}`,
      crypto.randomUUID(),
      this.clock,
      {
        hello: () => ({ chat_after: this.log.end }),
        onState: (state, sinceMs) => this.connection(state, sinceMs),
        onMessage: (message) => this.message(message),
        onFrame: (frame) => this.listener.onFrame?.(frame),
        onBadFrame: (code) => this.listener.onBadFrame?.(code),
      },
      open,
    );
    this.stopWaking = onWake((changed) => {
      if (!this.elsewhere.value) this.socket.wake(changed);
    });
    this.socket.start();
  }

  /** Lines and files that were said and are not confirmed yet. */
  get pending() {
    return this.outbox.pending;
  }

  /** Say a line. It is on its way, or waits for the connection; `pending` has it until the server confirms it; false: too many wait. */
  say(text: string): boolean {
    return this.outbox.say(text);
  }

  /** Share a file; resolves when the server has it or refused it for good (then `pending` says so). */
  sendFile(file: File, onProgress: (sent: number) => void = () => undefined): Promise<void> {
    return this.outbox.sendFile(file, onProgress);
  }

  /** What this page says of itself; said again after every reconnect. */
  state(change: Partial<PageState>): void {
    const next = { ...this.said, ...change };
    if (JSON.stringify(next) === JSON.stringify(this.said)) return;
    this.said = next;
    this.tellState();
  }

  /** Switch somebody's microphone off (clinicians). */
  mute(participant: string): void {
    this.socket.send({ type: "mute", participant });
  }

  watch(stream: number, view: string): void {
    this.socket.watch(stream, view);
  }

  unwatch(view: number): void {
    this.socket.unwatch(view);
  }

  /** After `elsewhere`: take the place back to this page. */
  continueHere(): void {
    if (!this.elsewhere.value) return;
    this.elsewhere.value = false;
    this.socket.start();
  }

  /** Pictures and voices stand still: ask by a new connection whether the line is there. */
  probe(): void {
    if (!this.elsewhere.value) this.socket.wake(true);
  }

  /** Somebody or something changed what the server told of the consultation: show the answer before it is told again. */
  learn(info: ConsultationInfo): void {
    this.info.value = info;
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.patience);
    this.stopWaking();
    this.outbox.pause();
    this.socket.close();
  }

  /** Close, and leave nothing of what was not confirmed in this browser. */
  forget(): void {
    this.close();
    this.outbox.forget();
  }

  private callMayRun(): boolean {
    if (this.elsewhere.value || this.closed || this.socketState.value === "refused") return false;
    const state = this.as === null ? this.info.value?.state : this.visit.value?.state;
    const admitted = this.as === null ? this.staffTakesPart() : this.visit.value?.seat_state === "admitted";
    return admitted && (state === "live" || state === "interrupted");
  }

  private staffTakesPart(): boolean {
    const info = this.info.value;
    return info !== null && (this.listener.takesPart?.(info) ?? true);
  }

  private connection(state: SocketState, sinceMs: number): void {
    this.socketState.value = state;
    if (state === "open") this.lostAtMs.value = null;
    else {
      this.outbox.pause();
      if (state === "lost") this.lostAtMs.value ??= sinceMs;
    }
  }

  private message(message: ServerMessage): void {
    switch (message.type) {
      case "welcome":
        this.server.value = message.server;
        this.me.value = message.me;
        if (message.consultation !== undefined) this.info.value = message.consultation;
        if (message.visit !== undefined) this.visit.value = message.visit;
        this.station.value = message.station ?? { online: false, status: null };
        this.streams.value = message.streams;
        this.people.value = message.people;
        this.publications.value = message.publications;
        this.welcomes.value++;
        this.tellState();
        this.outbox.resume(message.me);
        break;
      case "consultation":
        this.info.value = message.consultation;
        break;
      case "visit":
        this.visit.value = message.visit;
        break;
      case "people":
        this.people.value = message.people;
        break;
      case "publications":
        this.publications.value = message.publications;
        break;
      case "picture":
        this.poor(message.publication, message.level === "paused");
        break;
      case "station":
        this.station.value = { online: message.online, status: message.status };
        break;
      case "streams":
        this.streams.value = message.streams;
        break;
      case "chat":
        this.chat(message.lines, message.through);
        break;
      case "muted":
        this.mutedTimes.value++;
        break;
      case "elsewhere":
        this.elsewhere.value = true;
        this.outbox.pause();
        this.socket.pause();
        break;
      case "error":
        if (message.line !== undefined) this.outbox.refused(message.line, message.error.code);
        this.refusal.value = message.error;
        break;
      default:
    }
    this.listener.onMessage?.(message);
  }

  /** The line carries the picture of this publication, or does not; played anew it is tried anew. */
  poor(publication: string, poor: boolean): void {
    if (this.tooPoor.value.has(publication) === poor) return;
    const all = new Set(this.tooPoor.value);
    if (poor) all.add(publication);
    else all.delete(publication);
    this.tooPoor.value = all;
  }

  private tellState(): void {
    this.socket.send({ type: "state", ...this.said });
  }

  private chat(lines: readonly Line[], through: number): void {
    if (this.log.take(lines, through)) {
      this.outbox.confirmed(lines);
      this.lines.value = this.log.lines;
    } else this.outbox.confirmed(lines);
    if (!this.log.missing) this.caughtUp.value = true;
    clearTimeout(this.patience);
    if (this.log.hole) void this.fillHole();
    else if (this.log.missing) this.patience = setTimeout(() => void this.fillHole(), CHAT_PATIENCE_MS);
  }

  /** Ask for the lines after the last before a hole, until there is none. */
  private async fillHole(): Promise<void> {
    if (this.asking || this.closed) return;
    this.asking = true;
    try {
      while (this.log.missing && !this.closed) {
        const before = this.log.end;
        const { lines } = await room.chat(this.id, this.as, before);
        if (this.log.take(lines)) this.lines.value = this.log.lines;
        this.outbox.confirmed(lines);
        if (this.log.end === before) break;
      }
      if (!this.log.missing) this.caughtUp.value = true;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
    } finally {
      this.asking = false;
    }
    if (this.log.missing && !this.closed) {
      clearTimeout(this.patience);
      this.patience = setTimeout(() => void this.fillHole(), CHAT_PATIENCE_MS);
    }
  }
}

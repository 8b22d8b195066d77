/**
 * The consultation socket: one owner of the connection that comes back by itself.
 *
 * Says hello first, answers the clock's questions at once, and hands every known message and every whole frame to
 * its listener. A connection that stays silent for SILENCE_MS (the server asks every 5 s), or BUSY_SILENCE_MS, counts as
 * lost; `wake` does not wait for that.
 */
import { Backoff } from "./backoff";
import type { PageClock } from "./clock";
import { decodeFrame, type Frame, FrameError } from "./frame";
import { parseMessage, type ServerMessage } from "./messages";

export const SILENCE_MS = 7_500;
/** While somebody's picture or voice is played the server tells of it every second: so much silence is a dead line. */
export const BUSY_SILENCE_MS = 4_500;
/** An attempt that nobody has answered in this time is given up for the next. */
export const CONNECT_MS = 3_000;
/** Since the last message, so long after waking up or a change of the network means that the line is gone. */
export const STALE_MS = 5_500;
const PROTOCOL = 1;
/** The server ended the sign-in or the right to look: coming back would be refused again. */
const FINAL_CODES = new Set([
  "not_signed_in",
  "forbidden",
  "not_found",
  "protocol_too_old",
  "seat_removed",
  "seat_refused",
  "ticket_revoked",
  "visit_over",
]);

export type SocketState = "connecting" | "open" | "lost" | "refused";

export interface SocketListener {
  /** What hello says beside the versions and the source. */
  hello(): Readonly<Record<string, unknown>>;
  onState(state: SocketState, sinceMs: number): void;
  onMessage(message: ServerMessage): void;
  onFrame(frame: Frame): void;
  onBadFrame(code: string): void;
}

export class ConsultationSocket {
  private socket: WebSocket | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private silence: ReturnType<typeof setTimeout> | undefined;
  private closed = false;
  private refused = false;
  private heardMs = 0;
  private reportedMs = Number.NEGATIVE_INFINITY;
  private readonly backoff = new Backoff();

  constructor(
    private readonly url: string,
    private readonly source: string,
    private readonly clock: PageClock,
    private readonly listener: SocketListener,
    private readonly open: (url: string) => WebSocket = (address) => new WebSocket(address),
    /** A clock that goes on while the machine sleeps. */
    private readonly wallMs: () => number = () => Date.now(),
  ) {}

  /** Connect, and keep connecting until `close` or `pause`. Nothing happens while there is a connection. */
  start(): void {
    clearTimeout(this.timer);
    if (this.closed || this.socket !== null) return;
    this.refused = false;
    this.listener.onState("connecting", performance.now());
    const socket = this.open(this.url);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    this.listen(socket, CONNECT_MS);
    socket.onopen = () => {
      if (socket !== this.socket) return;
      const hello = { type: "hello", protocol: PROTOCOL, oldest: PROTOCOL, source: this.source };
      socket.send(JSON.stringify({ ...hello, ...this.listener.hello() }));
    };
    socket.onmessage = (event: MessageEvent<string | ArrayBuffer>) => {
      if (socket !== this.socket) return;
      if (typeof event.data === "string") this.text(event.data);
      else this.binary(event.data);
      if (socket === this.socket) this.listen(socket);
    };
    socket.onclose = () => this.lost(socket);
    socket.onerror = () => this.lost(socket);
  }

  /** Ask for a view of a stream; silently nothing while there is no connection (welcome asks again). */
  watch(stream: number, view: string): void {
    this.send({ type: "watch", stream, view });
  }

  unwatch(view: number): void {
    this.send({ type: "unwatch", view });
  }

  /**
   * The page woke up, or the network changed: connect at once when there is no connection, or when the one there is
   * has been silent for too long or went over a `changed` network.
   */
  wake(changed: boolean): void {
    if (this.closed || this.refused) return;
    this.backoff.reset();
    if (this.socket !== null && (changed || this.wallMs() - this.heardMs > STALE_MS)) this.lost(this.socket);
    if (this.socket === null) this.start();
  }

  /** Let the connection go and do not come back until `start`. */
  pause(): void {
    clearTimeout(this.timer);
    clearTimeout(this.silence);
    const socket = this.socket;
    this.socket = null;
    socket?.close();
  }

  close(): void {
    this.closed = true;
    this.pause();
  }

  /** Send a message; false, and nothing happened, while there is no connection. */
  send(message: object): boolean {
    if (this.socket?.readyState !== 1) return false;
    this.socket.send(JSON.stringify(message));
    return true;
  }

  private text(data: string): void {
    const message = parseMessage(data);
    if (message === null) return;
    if (message.type === "clock_ask") {
      this.send({ type: "clock", echo: message.server_us, stamp_us: this.clock.stampUs() });
      this.clock.asked(message.server_us);
      return;
    }
    if (message.type === "sender_report") {
      this.reportedMs = this.wallMs();
      return;
    }
    // Whoever spoke every second may be gone.
    if (message.type === "welcome" || message.type === "publications") this.reportedMs = Number.NEGATIVE_INFINITY;
    if (message.type === "welcome") {
      this.backoff.reset();
      this.listener.onState("open", performance.now());
    }
    // Only the last word before the end says that the connection, and not one message, was refused.
    this.refused = message.type === "error" && FINAL_CODES.has(message.error.code);
    this.listener.onMessage(message);
  }

  private binary(data: ArrayBuffer): void {
    try {
      this.listener.onFrame(decodeFrame(new Uint8Array(data)));
    } catch (error) {
      if (!(error instanceof FrameError)) throw error;
      this.listener.onBadFrame(error.code);
    }
  }

  private listen(socket: WebSocket, patienceMs?: number): void {
    clearTimeout(this.silence);
    this.heardMs = this.wallMs();
    const busy = this.heardMs - this.reportedMs < BUSY_SILENCE_MS;
    this.silence = setTimeout(() => this.lost(socket), patienceMs ?? (busy ? BUSY_SILENCE_MS : SILENCE_MS));
  }

  private lost(socket: WebSocket): void {
    if (socket !== this.socket || this.closed) return;
    clearTimeout(this.silence);
    this.socket = null;
    socket.close();
    if (this.refused) {
      this.listener.onState("refused", performance.now());
      return;
    }
    this.listener.onState("lost", performance.now());
    this.timer = setTimeout(() => this.start(), this.backoff.next());
  }
}

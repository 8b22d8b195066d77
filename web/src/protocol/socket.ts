/**
 * The consultation socket: one owner of the connection that comes back by itself.
 *
 * Says hello first, answers the clock's questions at once, and hands every known message and every whole frame to
 * its listener. A connection that stays silent for SILENCE_MS (the server asks every 5 s) counts as lost.
 */
import { Backoff } from "./backoff";
import type { PageClock } from "./clock";
import { decodeFrame, type Frame, FrameError } from "./frame";
import { parseMessage, type ServerMessage } from "./messages";

export const SILENCE_MS = 12_000;
const PROTOCOL = 1;
/** The server ended the sign-in or the right to look: coming back would be refused again. */
const FINAL_CODES = new Set(["not_signed_in", "forbidden", "not_found", "protocol_too_old"]);

export type SocketState = "connecting" | "open" | "lost" | "refused";

export interface SocketListener {
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
  private readonly backoff = new Backoff();

  constructor(
    private readonly url: string,
    private readonly source: string,
    private readonly clock: PageClock,
    private readonly listener: SocketListener,
    private readonly open: (url: string) => WebSocket = (address) => new WebSocket(address),
  ) {}

  /** Connect, and keep connecting until `close`. */
  start(): void {
    if (this.closed) return;
    this.listener.onState("connecting", performance.now());
    const socket = this.open(this.url);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    this.listen(socket);
    socket.onopen = () => {
      if (socket !== this.socket) return;
      socket.send(JSON.stringify({ type: "hello", protocol: PROTOCOL, oldest: PROTOCOL, source: this.source }));
    };
    socket.onmessage = (event: MessageEvent<string | ArrayBuffer>) => {
      if (socket !== this.socket) return;
      this.listen(socket);
      if (typeof event.data === "string") this.text(event.data);
      else this.binary(event.data);
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

  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
    clearTimeout(this.silence);
    const socket = this.socket;
    this.socket = null;
    socket?.close();
  }

  private send(message: object): void {
    if (this.socket?.readyState === 1) this.socket.send(JSON.stringify(message));
  }

  private text(data: string): void {
    const message = parseMessage(data);
    if (message === null) return;
    if (message.type === "clock_ask") {
      this.send({ type: "clock", echo: message.server_us, stamp_us: this.clock.stampUs() });
      this.clock.asked(message.server_us);
      return;
    }
    if (message.type === "welcome") {
      this.backoff.reset();
      this.listener.onState("open", performance.now());
    }
    if (message.type === "error" && FINAL_CODES.has(message.error.code)) this.refused = true;
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

  private listen(socket: WebSocket): void {
    clearTimeout(this.silence);
    this.silence = setTimeout(() => this.lost(socket), SILENCE_MS);
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

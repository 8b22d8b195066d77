/** The notices socket: one owner of the connection that comes back by itself while somebody is signed in. */
import { Backoff } from "../protocol/backoff";
import { parseNotice, type Waiting } from "./waiting";

const PROTOCOL = 1;
/** Coming back to a page that slept longer than this asks anew: a dead line may still look open. */
const STALE_MS = 20_000;

export interface NoticesListener {
  onConnected(connected: boolean): void;
  onWaiting(waiting: readonly Waiting[]): void;
  onWorkList(): void;
}

export class NoticesSocket {
  private socket: WebSocket | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private closed = false;
  private hiddenAt: number | null = null;
  private readonly backoff = new Backoff();
  private readonly source = crypto.randomUUID();

  constructor(
    private readonly url: string,
    private readonly listener: NoticesListener,
  ) {}

  start(): void {
    addEventListener("online", this.anew);
    document.addEventListener("visibilitychange", this.seen);
    this.connect();
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
    removeEventListener("online", this.anew);
    document.removeEventListener("visibilitychange", this.seen);
    const socket = this.socket;
    this.socket = null;
    socket?.close();
  }

  private readonly seen = () => {
    if (document.hidden) this.hiddenAt = performance.now();
    else if (this.hiddenAt !== null && performance.now() - this.hiddenAt > STALE_MS) this.anew();
  };

  private readonly anew = () => {
    clearTimeout(this.timer);
    const socket = this.socket;
    this.socket = null;
    socket?.close();
    this.backoff.reset();
    this.connect();
  };

  private connect(): void {
    if (this.closed) return;
    const socket = new WebSocket(this.url);
    this.socket = socket;
    socket.onopen = () => {
      socket.send(JSON.stringify({ type: "hello", protocol: PROTOCOL, oldest: PROTOCOL, source: this.source }));
    };
    socket.onmessage = (event: MessageEvent<unknown>) => {
      if (socket === this.socket && typeof event.data === "string") this.take(event.data);
    };
    socket.onclose = () => this.lost(socket);
    socket.onerror = () => this.lost(socket);
  }

  private take(text: string): void {
    const message = parseNotice(text);
    if (message === null) return;
    if ("waiting" in message) {
      this.backoff.reset();
      this.listener.onConnected(true);
      this.listener.onWaiting(message.waiting);
    } else if (message.type === "worklist") this.listener.onWorkList();
  }

  private lost(socket: WebSocket): void {
    if (socket !== this.socket || this.closed) return;
    this.socket = null;
    socket.close();
    this.listener.onConnected(false);
    this.timer = setTimeout(() => this.connect(), this.backoff.next());
  }
}

/**
 * One WebRTC leg (a WHIP publication or a WHEP playback) that comes back by itself.
 *
 * The client offers, the server answers (RFC 9725). A leg that fails, or stays disconnected for PATIENCE_MS, or does
 * not connect within CONNECT_MS, is thrown away and made anew after a growing wait; `restart` does so at once.
 */
import { ApiError, api } from "../api/client";
import { Backoff } from "../protocol/backoff";

export type LegState = "idle" | "connecting" | "connected" | "recovering" | "refused";

export const PATIENCE_MS = 3_000;
export const CONNECT_MS = 8_000;
/** Host candidates are there at once; a slow resolver must not hold the offer back. */
const GATHER_MS = 1_000;

export interface LegPlan {
  /** /whip/{room} or /whep/{publication}. */
  readonly path: string;
  /** Add tracks or transceivers. */
  readonly prepare: (connection: RTCPeerConnection) => void;
  readonly onState: (state: LegState, code: string | null) => void;
}

export class Leg {
  private connection: RTCPeerConnection | null = null;
  private session: string | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private readonly backoff = new Backoff();
  private closed = false;
  private connectedBefore = false;
  private attempting: Promise<void>;

  constructor(private readonly plan: LegPlan) {
    this.attempting = this.attempt();
  }

  /** Throw the connection away and make a new one at once. */
  restart(): void {
    if (this.closed) return;
    this.backoff.reset();
    void this.drop();
    this.attempting = this.attempt();
  }

  /** Over at once here; resolves when the server's side has ended too. */
  close(): Promise<void> {
    this.closed = true;
    const ended = this.drop();
    this.plan.onState("idle", null);
    return ended;
  }

  private drop(): Promise<void> {
    clearTimeout(this.timer);
    const { connection, session } = this;
    this.connection = null;
    this.session = null;
    connection?.close();
    // An offer that is still under way ends its own session when the answer names it.
    return session === null ? this.attempting : api.endSession(session);
  }

  private again(code: string | null): void {
    if (this.closed) return;
    void this.drop();
    this.plan.onState("recovering", code);
    this.timer = setTimeout(() => {
      this.attempting = this.attempt();
    }, this.backoff.next());
  }

  private async attempt(): Promise<void> {
    const connection = new RTCPeerConnection();
    this.connection = connection;
    this.plan.onState(this.connectedBefore ? "recovering" : "connecting", null);
    connection.onconnectionstatechange = () => this.changed(connection);
    this.plan.prepare(connection);
    try {
      await connection.setLocalDescription(await connection.createOffer());
      await gathered(connection);
      if (connection !== this.connection) return;
      const { answer, session } = await api.sdp(this.plan.path, connection.localDescription?.sdp ?? "");
      if (connection !== this.connection) {
        if (session !== null) await api.endSession(session);
        return;
      }
      this.session = session;
      await connection.setRemoteDescription({ type: "answer", sdp: answer });
      clearTimeout(this.timer);
      if (connection.connectionState !== "connected") this.timer = setTimeout(() => this.again(null), CONNECT_MS);
    } catch (error) {
      if (connection !== this.connection) return;
      if (error instanceof ApiError && (error.status === 401 || error.status === 403)) {
        void this.drop();
        this.plan.onState("refused", error.code);
      } else this.again(error instanceof ApiError ? error.code : "media_failed");
    }
  }

  private changed(connection: RTCPeerConnection): void {
    if (connection !== this.connection) return;
    switch (connection.connectionState) {
      case "connected":
        clearTimeout(this.timer);
        this.backoff.reset();
        this.connectedBefore = true;
        this.plan.onState("connected", null);
        break;
      case "disconnected":
        clearTimeout(this.timer);
        this.timer = setTimeout(() => this.again(null), PATIENCE_MS);
        this.plan.onState("recovering", null);
        break;
      case "failed":
      case "closed":
        this.again(null);
        break;
      default:
    }
  }
}

function gathered(connection: RTCPeerConnection): Promise<void> {
  if (connection.iceGatheringState === "complete") return Promise.resolve();
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, GATHER_MS);
    connection.addEventListener("icegatheringstatechange", () => {
      if (connection.iceGatheringState !== "complete") return;
      clearTimeout(timer);
      resolve();
    });
  });
}

/**
 * One WebRTC leg (a WHIP publication or a WHEP playback) that comes back by itself.
 *
 * The client offers, the server answers (RFC 9725). A leg that fails, or stays disconnected for PATIENCE_MS, or does
 * not connect within CONNECT_MS, is thrown away and made anew after a growing wait; `restart` does so at once, and `wake`
 * does so unless the leg still carries something.
 */
import { ApiError, api } from "../api/client";
import { Backoff } from "../protocol/backoff";
import { type IceServers, iceServers } from "./ice";

export type LegState = "idle" | "connecting" | "connected" | "recovering" | "refused";

export const PATIENCE_MS = 3_000;
export const CONNECT_MS = 8_000;
/** A leg that is said to be connected and moves nothing in this time after waking up is dead (consent: RFC 7675, 5.1). */
const PROBE_MS = 2_500;
/** An attempt of this age may still succeed by itself. */
const YOUNG_MS = 3_000;
/** An offer that is not answered in this time went over a line that is gone. */
const ANSWER_MS = 5_000;
/** Host candidates are there at once; a slow resolver must not hold the offer back. */
const GATHER_MS = 1_000;
/** A TURN server may be slow or dead. The server needs no candidate of ours to find us: whatever comes later is used too. */
const GATHER_TURN_MS = 200;

/** Not signed in, not allowed: asking again changes nothing. */
const REFUSALS = new Set([401, 403]);

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
  /**
   * What was connected before: it stays open until its successor is connected, so that the server hands over from the
   * one to the other and nobody loses the picture meanwhile.
   */
  private former: { readonly connection: RTCPeerConnection; readonly session: string } | null = null;
  private asking: AbortController | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private readonly backoff = new Backoff();
  private closed = false;
  private connectedBefore = false;
  /** The session that is there now has been connected. */
  private sessionLived = false;
  private attempting: Promise<void>;
  private attemptedMs = 0;
  private probing = false;

  constructor(private readonly plan: LegPlan) {
    this.attempting = this.attempt();
  }

  /** Throw the connection away and make a new one at once. */
  restart(): void {
    if (this.closed) return;
    this.backoff.reset();
    this.give();
    this.attempting = this.attempt();
  }

  /**
   * What went over the network is `gone`: make the leg anew. Else the page woke up, or the server answers again: make
   * it anew unless it is alive, or an attempt has only just begun.
   */
  async wake(gone: boolean): Promise<void> {
    const { connection } = this;
    if (this.closed) return;
    if (gone) {
      this.restart();
      return;
    }
    if (this.probing) return;
    if (connection?.connectionState !== "connected") {
      const young = connection !== null && performance.now() - this.attemptedMs < YOUNG_MS;
      if (!young) this.restart();
      return;
    }
    this.probing = true;
    const before = await carried(connection);
    await new Promise((resolve) => setTimeout(resolve, PROBE_MS));
    const dead = connection === this.connection && !this.closed && (await carried(connection)) === before;
    this.probing = false;
    if (dead) this.restart();
  }

  /** Send this track instead of the one of its kind; false when the leg was made without that kind. */
  async replaceTrack(kind: string, track: MediaStreamTrack | null): Promise<boolean> {
    const transceiver = this.connection
      ?.getTransceivers()
      .find((one) => one.direction !== "recvonly" && one.receiver.track.kind === kind);
    if (transceiver === undefined) return false;
    await transceiver.sender.replaceTrack(track);
    return true;
  }

  /** Bytes and answers that came over the connection so far; null while it is not connected. */
  async carried(): Promise<number | null> {
    const { connection } = this;
    return connection?.connectionState === "connected" ? carried(connection) : null;
  }

  /** The connection's statistics; null while there is no connection. */
  async stats(): Promise<RTCStatsReport | null> {
    return this.connection?.connectionState === "connected" ? this.connection.getStats() : null;
  }

  /** Over at once here; resolves when the server's side has ended too. */
  close(): Promise<void> {
    this.closed = true;
    const ended = this.drop();
    this.plan.onState("idle", null);
    return ended;
  }

  private async drop(): Promise<void> {
    clearTimeout(this.timer);
    const { connection, session, former } = this;
    this.connection = null;
    this.session = null;
    this.former = null;
    connection?.close();
    // An offer that is still under way ends its own session when the answer names it.
    former?.connection.close();
    const ended = session === null ? this.attempting : api.endSession(session);
    await Promise.all([ended, former === null ? undefined : api.endSession(former.session)]);
  }

  /** Give the connection up for the next attempt. One that was connected ends when that succeeds, any other at once. */
  private give(): void {
    clearTimeout(this.timer);
    this.asking?.abort();
    const { connection, session } = this;
    this.connection = null;
    this.session = null;
    if (connection !== null && session !== null && this.former === null && this.sessionLived) {
      this.former = { connection, session };
      return;
    }
    connection?.close();
    if (session !== null) void api.endSession(session);
  }

  private again(code: string | null): void {
    if (this.closed) return;
    this.give();
    this.plan.onState("recovering", code);
    this.timer = setTimeout(() => {
      this.attempting = this.attempt();
    }, this.backoff.next());
  }

  private async attempt(): Promise<void> {
    const connection = new RTCPeerConnection();
    this.connection = connection;
    this.attemptedMs = performance.now();
    this.plan.onState(this.connectedBefore ? "recovering" : "connecting", null);
    connection.onconnectionstatechange = () => this.changed(connection);
    this.plan.prepare(connection);
    try {
      const servers = await iceServers(this.plan.path);
      if (connection !== this.connection) return;
      use(connection, servers);
      await connection.setLocalDescription(await connection.createOffer());
      await gathered(connection, servers.length > 0 ? GATHER_TURN_MS : GATHER_MS);
      if (connection !== this.connection) return;
      const { answer, session } = await this.ask(connection.localDescription?.sdp ?? "");
      if (connection !== this.connection) {
        if (session !== null) await api.endSession(session);
        return;
      }
      this.session = session;
      this.sessionLived = false;
      await connection.setRemoteDescription({ type: "answer", sdp: answer });
      clearTimeout(this.timer);
      if (connection.connectionState !== "connected") this.timer = setTimeout(() => this.again(null), CONNECT_MS);
    } catch (error) {
      if (connection !== this.connection) return;
      if (error instanceof ApiError && REFUSALS.has(error.status)) {
        void this.drop();
        this.plan.onState("refused", error.code);
      } else this.again(error instanceof ApiError ? error.code : "media_failed");
    }
  }

  private async ask(offer: string): Promise<{ answer: string; session: string | null }> {
    const asking = new AbortController();
    this.asking = asking;
    const timer = setTimeout(() => asking.abort(), ANSWER_MS);
    try {
      return await api.sdp(this.plan.path, offer, asking.signal);
    } finally {
      clearTimeout(timer);
      this.asking = null;
    }
  }

  private changed(connection: RTCPeerConnection): void {
    if (connection !== this.connection) return;
    switch (connection.connectionState) {
      case "connected":
        clearTimeout(this.timer);
        this.backoff.reset();
        this.connectedBefore = true;
        this.sessionLived = true;
        this.former?.connection.close();
        if (this.former !== null) void api.endSession(this.former.session);
        this.former = null;
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

/** Bytes and answers that came over the connection so far. */
async function carried(connection: RTCPeerConnection): Promise<number> {
  let sum = 0;
  for (const row of (await connection.getStats()).values()) {
    if (row.type === "candidate-pair") sum += (row.bytesReceived ?? 0) + (row.responsesReceived ?? 0);
  }
  return sum;
}

/** Gathering begins with the offer, so that servers that are named before it are asked. */
function use(connection: RTCPeerConnection, servers: IceServers): void {
  if (servers.length === 0) return;
  try {
    connection.setConfiguration({ iceServers: [...servers] });
  } catch {
    // A browser that knows no setConfiguration, or not these URLs, connects without them where it can.
  }
}

function gathered(connection: RTCPeerConnection, patienceMs: number): Promise<void> {
  if (connection.iceGatheringState === "complete") return Promise.resolve();
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, patienceMs);
    connection.addEventListener("icegatheringstatechange", () => {
      if (connection.iceGatheringState !== "complete") return;
      clearTimeout(timer);
      resolve();
    });
  });
}

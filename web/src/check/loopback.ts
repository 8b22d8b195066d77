/**
 * The call check through our own relay: publish to a room of one's own, play it back, count what returns.
 *
 * What the camera and the microphone give is sent; what is missing is replaced by a drawn picture and a silent tone, so
 * that the line can be tried without any permission. The server ends a check by itself; leaving ends it at once.
 */
import { signal } from "@preact/signals";
import { ApiError } from "../api/client";
import { checks } from "../api/guests";
import { Leg, type LegState } from "../media/leg";
import { figuresOf, type LoopFigures, type LoopSample, type Verdict, verdictOf } from "./verdict";

/** As long as anybody waits gladly; the server allows a little more. */
export const LOOP_S = 20;
/** Without a picture back by then the line lets nothing through. */
export const CONNECT_S = 12;
const LOOK_MS = 1_000;

export type LoopState = "idle" | "connecting" | "measuring" | "done" | "failed";

export class Loopback {
  readonly state = signal<LoopState>("idle");
  /** Seconds measured so far. */
  readonly seconds = signal(0);
  readonly figures = signal<LoopFigures | null>(null);
  readonly verdict = signal<Verdict | null>(null);
  /** The server's code when it would not begin. */
  readonly fault = signal<string | null>(null);
  readonly returned = signal<MediaStream | null>(null);
  private samples: LoopSample[] = [];
  private legs: Leg[] = [];
  private sending: RTCPeerConnection | null = null;
  private playing: RTCPeerConnection | null = null;
  private check: string | null = null;
  private timer: ReturnType<typeof setInterval> | undefined;
  private stand: StandIn | null = null;
  private begunMs = 0;
  private run = 0;
  private picture = false;
  private readonly leaving = () => void this.stop();

  /** Begin anew; `camera` and `microphone` are only borrowed. */
  async start(camera: MediaStreamTrack | null, microphone: MediaStreamTrack | null): Promise<void> {
    await this.stop();
    const mine = ++this.run;
    this.state.value = "connecting";
    this.seconds.value = 0;
    this.figures.value = null;
    this.verdict.value = null;
    this.fault.value = null;
    this.samples = [];
    this.picture = camera !== null;
    let begun: { check: string; seconds: number };
    try {
      begun = await checks.begin();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (mine !== this.run) return;
      this.fault.value = error.code;
      this.state.value = "failed";
      return;
    }
    if (mine !== this.run) {
      await checks.end(begun.check);
      return;
    }
    this.check = begun.check;
    addEventListener("pagehide", this.leaving);
    this.publish(begun.check, camera, microphone);
    this.begunMs = performance.now();
    this.timer = setInterval(() => void this.look(mine, Math.min(LOOP_S, begun.seconds)), LOOK_MS);
  }

  /** End it here and at the server; the figures stay. */
  async stop(): Promise<void> {
    this.run++;
    clearInterval(this.timer);
    removeEventListener("pagehide", this.leaving);
    const { check, legs } = this;
    this.check = null;
    this.legs = [];
    this.sending = null;
    this.playing = null;
    this.stand?.close();
    this.stand = null;
    this.returned.value = null;
    if (this.state.value === "connecting" || this.state.value === "measuring") this.state.value = "idle";
    const ended = legs.map((leg) => leg.close());
    if (check !== null) await checks.end(check);
    await Promise.all(ended);
  }

  private publish(check: string, camera: MediaStreamTrack | null, microphone: MediaStreamTrack | null): void {
    const stand = new StandIn(camera === null, microphone === null);
    this.stand = stand;
    const tracks = [microphone ?? stand.sound, camera ?? stand.picture].filter((track) => track !== null);
    const stream = new MediaStream(tracks);
    const sender = new Leg({
      path: `/whip/checks/${check}`,
      prepare: (connection) => {
        this.sending = connection;
        for (const track of tracks) connection.addTransceiver(track, { direction: "sendonly", streams: [stream] });
      },
      onState: (state) => this.published(check, state),
    });
    this.legs.push(sender);
  }

  private published(check: string, state: LegState): void {
    if (state !== "connected" || this.legs.length !== 1 || check !== this.check) return;
    const player = new Leg({
      path: `/whep/checks/${check}`,
      prepare: (connection) => {
        this.playing = connection;
        const stream = new MediaStream();
        connection.ontrack = (event) => {
          if (event.track.kind !== "video") return; // one's own voice a moment late would howl
          stream.addTrack(event.track);
          this.returned.value = stream;
        };
        for (const kind of ["audio", "video"]) connection.addTransceiver(kind, { direction: "recvonly" });
      },
      onState: () => undefined,
    });
    this.legs.push(player);
  }

  private async look(mine: number, lengthS: number): Promise<void> {
    const sample = await this.sample();
    if (mine !== this.run) return;
    const nowMs = performance.now();
    if (this.state.value === "connecting") {
      if (sample !== null && sample.received > 0) {
        this.state.value = "measuring";
        this.begunMs = nowMs;
      } else if (nowMs - this.begunMs > CONNECT_S * 1000) {
        this.finish();
        return;
      }
    }
    if (this.state.value !== "measuring") return;
    if (sample !== null) this.samples.push(sample);
    this.seconds.value = Math.min(lengthS, Math.round((nowMs - this.begunMs) / 1000));
    if (this.seconds.value >= lengthS) this.finish();
  }

  private finish(): void {
    this.figures.value = figuresOf(this.samples);
    this.verdict.value = verdictOf(this.figures.value, this.picture);
    this.state.value = "done";
    void this.stop();
  }

  private async sample(): Promise<LoopSample | null> {
    const { sending, playing } = this;
    if (sending === null || playing === null) return null;
    const sample = { atMs: performance.now(), received: 0, lost: 0, bytes: 0, roundTripS: null as number | null };
    for (const report of (await playing.getStats()).values()) {
      if (report.type !== "inbound-rtp") continue;
      sample.received += report.packetsReceived ?? 0;
      sample.lost += report.packetsLost ?? 0;
      sample.bytes += report.bytesReceived ?? 0;
    }
    for (const report of (await sending.getStats()).values()) {
      if (report.type !== "candidate-pair" || report.nominated !== true) continue;
      sample.roundTripS = report.currentRoundTripTime ?? sample.roundTripS;
    }
    return sample;
  }
}

/** A drawn picture that moves and a tone that nobody hears, for a line that is tried without camera or microphone. */
class StandIn {
  readonly picture: MediaStreamTrack | null;
  readonly sound: MediaStreamTrack | null;
  private readonly context: AudioContext | null = null;
  private readonly timer: ReturnType<typeof setInterval> | undefined;

  constructor(picture: boolean, sound: boolean) {
    let drawn: MediaStreamTrack | null = null;
    if (picture) {
      const canvas = document.createElement("canvas");
      canvas.width = 320;
      canvas.height = 240;
      const ctx = canvas.getContext("2d");
      let turn = 0;
      this.timer = setInterval(() => {
        if (ctx === null) return;
        turn = (turn + 7) % 360;
        ctx.fillStyle = `hsl(${turn} 60% 40%)`;
        ctx.fillRect((turn * 3) % 320, (turn * 5) % 240, 90, 60);
      }, 66);
      drawn = canvas.captureStream(15).getVideoTracks()[0] ?? null;
    }
    this.picture = drawn;
    let tone: MediaStreamTrack | null = null;
    if (sound) {
      this.context = new AudioContext();
      const destination = this.context.createMediaStreamDestination();
      const volume = this.context.createGain();
      volume.gain.value = 0.0001;
      const oscillator = this.context.createOscillator();
      oscillator.connect(volume).connect(destination);
      oscillator.start();
      tone = destination.stream.getAudioTracks()[0] ?? null;
    }
    this.sound = tone;
  }

  close(): void {
    clearInterval(this.timer);
    this.picture?.stop();
    this.sound?.stop();
    void this.context?.close();
  }
}

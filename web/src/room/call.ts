/**
 * The call: one's own camera, microphone and screen go to the room, everybody else's publications come from it.
 *
 * Follows its RoomConnection by itself: it runs while `inCall` holds, stops when another page took over, and comes back
 * with every connection. Every direction and every device fails and comes back separately. Knows no page: state is in
 * signals.
 */
import { computed, effect, signal, untracked } from "@preact/signals";
import { pathAs } from "../api/room";
import { type DeviceTrouble, LAYERS } from "../media/devices";
import { Leg, type LegState } from "../media/leg";
import type { Publication, Role, Source } from "../protocol/people";
import type { RoomConnection } from "./connection";
import { LOOK_MS, Stillness } from "./stillness";
import { identityOf, ownSources, tileKey, wantedTiles } from "./tiles";
import { CallDevice } from "./tracks";
import { onWake } from "./wake";

/** A question of the browser that nobody answers holds the other device back no longer than this. */
const DEVICES_MS = 5_000;

export interface Tile {
  /** participant and source, as a name. */
  readonly key: string;
  readonly participant: string;
  readonly role: Role;
  readonly source: Source;
  readonly kinds: readonly ("audio" | "video")[];
  readonly publication: string;
  /** Whoever sends the picture has too poor a line for it. */
  readonly paused: boolean;
  /** Null until the first track came. */
  readonly stream: MediaStream | null;
  readonly state: LegState;
}

interface Played {
  readonly leg: Leg;
  readonly identity: string;
}

export class RoomCall {
  readonly camera = new CallDevice("camera");
  readonly microphone = new CallDevice("microphone");
  readonly cameraTrouble = computed<DeviceTrouble | null>(() => this.camera.trouble.value);
  readonly microphoneTrouble = computed<DeviceTrouble | null>(() => this.microphone.trouble.value);
  readonly cameraOn = computed(() => this.camera.on.value);
  readonly microphoneOn = computed(() => this.microphone.on.value);
  /** Camera and microphone have been asked for, whatever the answer. */
  readonly asked = signal(false);
  /** Neither camera nor microphone is wanted. */
  readonly listenOnly = signal(false);
  readonly publishing = signal<LegState>("idle");
  readonly sharing = signal<LegState>("idle");
  /** The code of the last failure of one's own legs or of a played one; null when it is mended. */
  readonly fault = signal<string | null>(null);
  readonly selfStream = signal<MediaStream | null>(null);
  readonly screenStream = signal<MediaStream | null>(null);
  /** Exactly one a (participant, source), others' only. */
  readonly tiles = signal<readonly Tile[]>([]);
  /** A clinician switched this microphone off; until it is switched on again. */
  readonly mutedByOther = signal(false);
  /** This browser can share its screen. */
  readonly canShare = typeof navigator !== "undefined" && navigator.mediaDevices?.getDisplayMedia !== undefined;
  private publication: Leg | null = null;
  private screen: Leg | null = null;
  private readonly played = new Map<string, Played>();
  private readonly endings: (() => void)[] = [];
  private running = false;
  private closed = false;
  private looking = false;
  private server: string | null = null;
  private listed: ReadonlySet<string> = new Set();
  private readonly stillness = new Stillness();

  constructor(
    private readonly room: RoomConnection,
    options: { readonly listenOnly?: boolean } = {},
  ) {
    this.listenOnly.value = options.listenOnly ?? false;
    const devicesChanged = () => {
      void this.devicesChanged();
    };
    navigator.mediaDevices?.addEventListener?.("devicechange", devicesChanged);
    const looking = setInterval(() => void this.lookForStillness(), LOOK_MS);
    this.endings.push(
      () => clearInterval(looking),
      () => navigator.mediaDevices?.removeEventListener?.("devicechange", devicesChanged),
      onWake((changed) => this.wake(changed)),
      effect(() => {
        const run = room.inCall.value;
        untracked(() => this.run(run));
      }),
      effect(() => {
        const { value } = room.publications;
        const run = room.inCall.value;
        const me = room.me.value;
        untracked(() => {
          this.play(run ? wantedTiles(value, me) : []);
          this.comeBack(ownSources(value, me));
        });
      }),
      effect(() => {
        if (room.welcomes.value > 0) untracked(() => this.welcomed());
      }),
      effect(() => {
        if (room.mutedTimes.value > 0) untracked(() => this.muted());
      }),
      effect(() => {
        const camera = this.camera.track.value;
        const microphone = this.microphone.track.value;
        const asked = this.asked.value;
        untracked(() => asked && this.send(camera, microphone));
      }),
      effect(() => {
        const sent = this.publishing.value === "connected";
        room.state({
          camera: sent && this.camera.track.value !== null && this.camera.on.value,
          microphone: sent && this.microphone.track.value !== null && this.microphone.on.value,
          screen: this.sharing.value === "connected",
        });
      }),
    );
  }

  setCamera(on: boolean): void {
    this.camera.set(on);
  }

  setMicrophone(on: boolean): void {
    this.microphone.set(on);
    if (on) this.mutedByOther.value = false;
  }

  /** Hear and see without being heard or seen, or the other way round again. */
  setListenOnly(only: boolean): void {
    this.listenOnly.value = only;
    if (only) {
      this.camera.release();
      this.microphone.release();
    } else if (this.running) void this.askAgain();
  }

  /** Ask once more for what was missing or refused. */
  async askAgain(): Promise<void> {
    if (!this.listenOnly.value) {
      const patience = new Promise<void>((resolve) => setTimeout(resolve, DEVICES_MS));
      await Promise.race([Promise.all([this.camera.open(), this.microphone.open()]), patience]);
    }
    if (this.running) this.asked.value = true;
  }

  /** Offer the screen; resolves when it is on its way, or when the person chose none. Asking twice changes nothing. */
  async shareScreen(): Promise<void> {
    if (this.screenStream.value !== null || !this.running || !this.canShare) return;
    let stream: MediaStream;
    try {
      stream = await navigator.mediaDevices.getDisplayMedia({ video: { frameRate: { max: 15 } }, audio: false });
    } catch {
      return; // The person said no: nothing has failed.
    }
    const track = stream.getVideoTracks()[0];
    if (track === undefined || !this.running) {
      for (const one of stream.getTracks()) one.stop();
      return;
    }
    track.contentHint = "detail";
    track.onended = () => this.stopScreen();
    this.screenStream.value = stream;
    this.screen = this.publish("screen", [track], (state) => {
      this.sharing.value = state;
    });
  }

  stopScreen(): void {
    void this.screen?.close();
    this.screen = null;
    for (const track of this.screenStream.value?.getTracks() ?? []) {
      track.onended = null;
      track.stop();
    }
    this.screenStream.value = null;
  }

  /** The legs whose line can be measured. */
  legs(): readonly Leg[] {
    const own = [this.publication, this.screen].filter((leg) => leg !== null);
    return [...own, ...[...this.played.values()].map(({ leg }) => leg)];
  }

  /** Camera, microphone and every connection are over at once; resolves when the server has ended them too. */
  close(): Promise<void> {
    this.closed = true;
    for (const end of this.endings) end();
    const ended = this.hangUp();
    this.camera.close();
    this.microphone.close();
    return ended;
  }

  private run(run: boolean): void {
    if (run === this.running || this.closed) return;
    this.running = run;
    if (run) void this.askAgain();
    else {
      void this.hangUp();
      this.camera.release();
      this.microphone.release();
      this.asked.value = false;
    }
  }

  private async hangUp(): Promise<void> {
    const ended = [...this.legs()].map((leg) => leg.close());
    this.publication = null;
    this.stopScreen();
    this.played.clear();
    this.tiles.value = [];
    this.selfStream.value = null;
    await Promise.all(ended);
  }

  private wake(changed: boolean): void {
    if (this.running) for (const leg of this.legs()) void leg.wake(changed);
  }

  /** A connection to the room is there again: legs that are not connected are made anew at once. */
  private welcomed(): void {
    const server = this.room.server.value;
    const other = this.server !== null && server !== this.server;
    const again = this.server !== null;
    this.server = server;
    if (!again || !this.running) return;
    if (other) for (const leg of this.legs()) leg.restart();
    else this.wake(this.stillness.lasts(performance.now()));
  }

  /** What the room could see of us and sees no more, though we send it, was lost at the server: send it anew. */
  private comeBack(listed: ReadonlySet<string>): void {
    const gone = (source: Source) => this.listed.has(source) && !listed.has(source);
    if (gone("camera") && this.publishing.value === "connected") this.publication?.restart();
    if (gone("screen") && this.sharing.value === "connected") this.screen?.restart();
    this.listed = listed;
  }

  private async lookForStillness(): Promise<void> {
    if (!this.running || this.looking) return;
    this.looking = true;
    const carried = (await Promise.all(this.legs().map((leg) => leg.carried()))).filter((one) => one !== null);
    this.looking = false;
    const sum = carried.length === 0 ? null : carried.reduce((all, one) => all + one, 0);
    if (this.stillness.look(sum, performance.now()) && !this.closed) this.room.probe();
  }

  private muted(): void {
    if (!this.microphone.on.value) return;
    this.microphone.set(false);
    this.mutedByOther.value = true;
  }

  private async devicesChanged(): Promise<void> {
    if (!this.running || this.listenOnly.value) return;
    await Promise.all([this.camera.devicesChanged(), this.microphone.devicesChanged()]);
  }

  /** Send these tracks: in the leg that is there when it has room for them, else in a new one. */
  private send(camera: MediaStreamTrack | null, microphone: MediaStreamTrack | null): void {
    this.selfStream.value = camera === null ? null : new MediaStream([camera]);
    const tracks = [microphone, camera].filter((track) => track !== null);
    if (!this.running || this.closed) return;
    if (tracks.length === 0) {
      void this.publication?.close();
      this.publication = null;
      return;
    }
    if (this.publication !== null) void this.exchange(this.publication, camera, microphone);
    else this.publishTracks(tracks);
  }

  private async exchange(
    leg: Leg,
    camera: MediaStreamTrack | null,
    microphone: MediaStreamTrack | null,
  ): Promise<void> {
    const done = await Promise.all([leg.replaceTrack("video", camera), leg.replaceTrack("audio", microphone)]);
    const room = (done[0] || camera === null) && (done[1] || microphone === null);
    if (room || leg !== this.publication || !this.running) return;
    void leg.close();
    this.publishTracks([microphone, camera].filter((track) => track !== null));
  }

  private publishTracks(tracks: readonly MediaStreamTrack[]): void {
    this.publication = this.publish("camera", tracks, (state) => {
      this.publishing.value = state;
    });
  }

  private publish(source: Source, tracks: readonly MediaStreamTrack[], tell: (state: LegState) => void): Leg {
    const stream = new MediaStream([...tracks]);
    const leg: Leg = new Leg({
      path: pathAs(`/whip/${this.room.id}`, this.room.as, { source }),
      prepare: (connection) => {
        for (const track of this.current(source, tracks)) {
          const layers = track.kind === "video" && source === "camera" ? { sendEncodings: [...LAYERS] } : {};
          connection.addTransceiver(track, { direction: "sendonly", streams: [stream], ...layers });
        }
      },
      onState: (state, code) => {
        tell(state);
        this.failed(state, code);
      },
    });
    return leg;
  }

  /** A leg that is made anew sends what is there then, not what was there when it was made first. */
  private current(source: Source, first: readonly MediaStreamTrack[]): readonly MediaStreamTrack[] {
    if (source !== "camera") return first;
    const now = [this.microphone.track.value, this.camera.track.value].filter((track) => track !== null);
    return now.length === 0 ? first : now;
  }

  private failed(state: LegState, code: string | null): void {
    this.fault.value = code ?? (state === "connected" ? null : this.fault.value);
  }

  private play(wanted: readonly Publication[]): void {
    const keys = new Set(wanted.map((one) => tileKey(one.participant, one.source)));
    for (const [key, { leg }] of this.played) {
      if (keys.has(key)) continue;
      this.played.delete(key);
      void leg.close();
    }
    const before = new Map(this.tiles.value.map((tile) => [tile.key, tile]));
    this.tiles.value = wanted.map((publication) => {
      const key = tileKey(publication.participant, publication.source);
      const { participant, source, by: role, kinds, id, paused = false } = publication;
      // The last picture stays until the next publication's first one comes.
      const old = before.get(key);
      const { stream = null, state = "connecting" } = old ?? {};
      return { key, participant, source, role, kinds, publication: id, paused, stream, state };
    });
    for (const publication of wanted) {
      const key = tileKey(publication.participant, publication.source);
      const identity = identityOf(publication);
      const playing = this.played.get(key);
      if (playing?.identity === identity) continue;
      this.played.delete(key);
      void playing?.leg.close();
      this.played.set(key, { identity, leg: this.receive(key, publication) });
    }
  }

  private receive(key: string, publication: Publication): Leg {
    let stream = new MediaStream();
    return new Leg({
      path: pathAs(`/whep/${publication.id}`, this.room.as),
      prepare: (connection) => {
        const fresh = new MediaStream();
        stream = fresh;
        this.room.poor(publication.id, false);
        connection.ontrack = (event) => {
          fresh.addTrack(event.track);
          if (stream === fresh) this.changeTile(key, publication, { stream: fresh });
        };
        for (const kind of publication.kinds) connection.addTransceiver(kind, { direction: "recvonly" });
      },
      onState: (state, code) => {
        this.changeTile(key, publication, { state });
        this.failed(state, code);
      },
    });
  }

  private changeTile(key: string, publication: Publication, change: Partial<Tile>): void {
    // A leg speaks while it is made, before it is listed; one that was replaced is not heard.
    const playing = this.played.get(key);
    if (playing !== undefined && playing.identity !== identityOf(publication)) return;
    this.tiles.value = this.tiles.value.map((tile) => (tile.key === key ? { ...tile, ...change } : tile));
  }
}

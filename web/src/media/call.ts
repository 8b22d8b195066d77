/**
 * The clinician's side of the call: publish camera and microphone to the consultation, play the station's publication.
 *
 * Knows no page: state is in signals. The two directions fail and come back separately.
 */
import { signal } from "@preact/signals";
import type { Publication } from "../protocol/messages";
import { type Device, type DeviceTrouble, openDevice } from "./devices";
import { Leg, type LegState } from "./leg";
import { rememberedSwitch, rememberSwitch } from "./switches";

const NO_DEVICE: Device = { track: null, trouble: null };

export class Call {
  readonly cameraTrouble = signal<DeviceTrouble | null>(null);
  readonly microphoneTrouble = signal<DeviceTrouble | null>(null);
  readonly cameraOn = signal(rememberedSwitch("camera"));
  readonly microphoneOn = signal(rememberedSwitch("microphone"));
  readonly asked = signal(false);
  readonly publishing = signal<LegState>("idle");
  readonly playing = signal<LegState>("idle");
  readonly fault = signal<string | null>(null);
  readonly selfStream = signal<MediaStream | null>(null);
  readonly remoteStream = signal<MediaStream | null>(null);
  private camera = NO_DEVICE;
  private microphone = NO_DEVICE;
  private publication: Leg | null = null;
  private playback: Leg | null = null;
  private played: string | null = null;
  private asking: Promise<void> | null = null;
  private live = false;
  private closed = false;

  constructor(private readonly consultation: string) {}

  /** The consultation became live, or stopped being it. */
  setLive(live: boolean): void {
    if (live === this.live) return;
    this.live = live;
    if (!live) {
      void this.hangUp();
      this.releaseDevices();
    } else {
      this.asking ??= this.askDevices();
      void this.asking.then(() => this.publish());
    }
  }

  /** Play the station's newest publication; another one than before is played at once. */
  setPublications(publications: readonly Publication[]): void {
    const wanted = publications.findLast((publication) => publication.by === "station");
    const identity = wanted === undefined ? null : `${wanted.id} ${wanted.kinds.join(" ")}`;
    if (identity === this.played) return;
    this.played = identity;
    void this.playback?.close();
    this.playback = null;
    this.remoteStream.value = null;
    if (wanted !== undefined) this.play(wanted);
  }

  /** Another server answers now: what the old one knew of this call is gone. */
  serverChanged(): void {
    this.publication?.restart();
    this.playback?.restart();
  }

  setCamera(on: boolean): void {
    this.cameraOn.value = on;
    rememberSwitch("camera", on);
    if (this.camera.track !== null) this.camera.track.enabled = on;
  }

  setMicrophone(on: boolean): void {
    this.microphoneOn.value = on;
    rememberSwitch("microphone", on);
    if (this.microphone.track !== null) this.microphone.track.enabled = on;
  }

  /** Ask once more for what was missing or refused. */
  async askAgain(): Promise<void> {
    await this.askDevices();
    void this.publication?.close();
    this.publication = null;
    this.publish();
  }

  /** Camera, microphone and both connections are over at once; resolves when the server has ended them too. */
  close(): Promise<void> {
    this.closed = true;
    const ended = this.hangUp();
    this.releaseDevices();
    return ended;
  }

  /** Camera and microphone go dark; the next live consultation asks anew. */
  private releaseDevices(): void {
    for (const { track } of [this.camera, this.microphone]) track?.stop();
    this.camera = NO_DEVICE;
    this.microphone = NO_DEVICE;
    this.asking = null;
    this.asked.value = false;
    this.selfStream.value = null;
  }

  private async hangUp(): Promise<void> {
    const ended = [this.publication?.close(), this.playback?.close()];
    this.publication = null;
    this.playback = null;
    this.played = null;
    this.remoteStream.value = null;
    await Promise.all(ended);
  }

  private async askDevices(): Promise<void> {
    const wanted = [this.camera, this.microphone] as const;
    const [camera, microphone] = await Promise.all([
      wanted[0].track === null ? openDevice("camera") : wanted[0],
      wanted[1].track === null ? openDevice("microphone") : wanted[1],
    ]);
    this.camera = camera;
    this.microphone = microphone;
    if (this.closed || !this.live) {
      this.releaseDevices();
      return;
    }
    this.setCamera(this.cameraOn.value);
    this.setMicrophone(this.microphoneOn.value);
    this.cameraTrouble.value = camera.trouble;
    this.microphoneTrouble.value = microphone.trouble;
    this.selfStream.value = camera.track === null ? null : new MediaStream([camera.track]);
    this.asked.value = true;
  }

  private publish(): void {
    const tracks = [this.microphone.track, this.camera.track].filter((track) => track !== null);
    if (this.closed || !this.live || this.publication !== null || tracks.length === 0) return;
    const stream = new MediaStream(tracks);
    this.publication = new Leg({
      path: `/whip/${this.consultation}`,
      prepare: (connection) => {
        for (const track of tracks) connection.addTransceiver(track, { direction: "sendonly", streams: [stream] });
      },
      onState: (state, code) => {
        this.publishing.value = state;
        this.fault.value = code ?? (state === "connected" ? null : this.fault.value);
      },
    });
  }

  private play(publication: Publication): void {
    this.playback = new Leg({
      path: `/whep/${publication.id}`,
      prepare: (connection) => {
        const stream = new MediaStream();
        connection.ontrack = (event) => {
          stream.addTrack(event.track);
          this.remoteStream.value = stream;
        };
        for (const kind of publication.kinds) connection.addTransceiver(kind, { direction: "recvonly" });
      },
      onState: (state, code) => {
        this.playing.value = state;
        this.fault.value = code ?? (state === "connected" ? null : this.fault.value);
      },
    });
  }
}

/**
 * One device of the person (camera or microphone) on this page: asked for by itself, watched afterwards.
 *
 * A permission that is taken back, a plug that is pulled and a device that returns are noticed without a click.
 */
import { signal } from "@preact/signals";
import { chooseDevice } from "../media/chosen";
import { constraintsOf, type DeviceKind } from "../media/devices";
import { type DeviceEvent, nextPermission, type Permission, type Remembered } from "./permission";

export class OwnDevice {
  readonly permission = signal<Permission>("not_asked");
  readonly track = signal<MediaStreamTrack | null>(null);
  /** Devices of the kind, with names once one of them was allowed. */
  readonly choices = signal<readonly MediaDeviceInfo[]>([]);
  private status: PermissionStatus | null = null;
  private asks = 0;
  private closed = false;
  private readonly changed = () => void this.listChoices();

  constructor(readonly kind: DeviceKind) {
    if (navigator.mediaDevices === undefined) this.happened({ type: "failed", name: "", remark: "", remembered: null });
    else navigator.mediaDevices.addEventListener("devicechange", this.changed);
  }

  /** Open the device when the browser needs no question for that; true when it did. */
  async openIfAllowed(): Promise<boolean> {
    if ((await this.remembered()) !== "granted" || this.closed) return false;
    await this.ask();
    return this.permission.value === "allowed";
  }

  /** Ask the browser for the device; with an id for that very one, which this browser then keeps. */
  async ask(id?: string): Promise<void> {
    if (navigator.mediaDevices === undefined || this.permission.value === "asking") return;
    if (id !== undefined) chooseDevice(this.kind, id);
    this.stopTrack();
    this.happened({ type: "ask" });
    const mine = ++this.asks;
    try {
      const stream = await navigator.mediaDevices.getUserMedia(constraintsOf(this.kind));
      const track = stream.getTracks()[0] ?? null;
      if (mine !== this.asks || this.closed) {
        track?.stop();
        return;
      }
      this.take(track);
    } catch (error) {
      if (mine !== this.asks) return;
      const { name, message } = error instanceof DOMException ? error : { name: "", message: "" };
      this.happened({ type: "failed", name, remark: message, remembered: await this.remembered() });
    }
    await this.remembered();
    await this.listChoices();
  }

  /** Let the device go; it can be asked for again. */
  release(): void {
    this.asks++;
    this.stopTrack();
    this.happened({ type: "released" });
  }

  close(): void {
    this.closed = true;
    this.release();
    navigator.mediaDevices?.removeEventListener("devicechange", this.changed);
    if (this.status !== null) this.status.onchange = null;
  }

  private take(track: MediaStreamTrack | null): void {
    if (track === null) {
      this.happened({ type: "failed", name: "NotFoundError", remark: "", remembered: null });
      return;
    }
    this.track.value = track;
    track.onended = () => void this.ended(track);
    this.happened({ type: "granted" });
  }

  private async ended(track: MediaStreamTrack): Promise<void> {
    if (track !== this.track.value) return;
    this.track.value = null;
    const remembered = await this.remembered();
    this.happened({ type: "ended", present: await this.listChoices(), remembered });
  }

  private stopTrack(): void {
    const track = this.track.value;
    this.track.value = null;
    track?.stop();
  }

  private happened(event: DeviceEvent): void {
    this.permission.value = nextPermission(this.permission.value, event);
  }

  /** What the browser remembers of this site; follows its changes from the first question on. */
  private async remembered(): Promise<Remembered> {
    try {
      this.status ??= await navigator.permissions.query({ name: this.kind as PermissionName });
      const { status } = this;
      status.onchange = () => this.memoryChanged(status.state);
      return status.state;
    } catch {
      return null; // this browser does not tell
    }
  }

  private memoryChanged(remembered: Remembered): void {
    if (this.closed) return;
    if (remembered === "denied") this.stopTrack();
    const wasDenied = this.permission.value === "denied";
    this.happened({ type: "remembered", remembered });
    if (wasDenied && remembered === "granted") void this.ask();
  }

  private async listChoices(): Promise<boolean> {
    try {
      const wanted = this.kind === "camera" ? "videoinput" : "audioinput";
      const all = await navigator.mediaDevices.enumerateDevices();
      const devices = all.filter((device) => device.kind === wanted);
      this.choices.value = devices.filter((device) => device.deviceId !== "" && device.label !== "");
      this.happened({ type: "present", present: devices.length > 0 });
      return devices.length > 0;
    } catch {
      return true;
    }
  }
}

/**
 * One's own camera and microphone: asked for separately, followed while they are in use. A device that is unplugged, or
 * whose permission is taken back, is told as trouble; one that comes back is asked for again.
 */
import { signal } from "@preact/signals";
import { type DeviceKind, type DeviceTrouble, openDevice } from "../media/devices";
import { rememberedSwitch, rememberSwitch } from "../media/switches";

export class CallDevice {
  readonly track = signal<MediaStreamTrack | null>(null);
  readonly trouble = signal<DeviceTrouble | null>(null);
  readonly on = signal(true);
  private asking: Promise<void> | null = null;
  private wanted = false;
  private permission: PermissionStatus | null = null;

  constructor(readonly kind: DeviceKind) {
    this.on.value = rememberedSwitch(kind);
    void this.followPermission();
  }

  /** Ask for the device unless it is there already; resolves when it is, or when it cannot be had (`trouble`). */
  open(): Promise<void> {
    this.wanted = true;
    if (this.track.value !== null) return Promise.resolve();
    this.asking ??= this.ask().finally(() => {
      this.asking = null;
    });
    return this.asking;
  }

  /** Switch it on or off; remembered in this tab. */
  set(on: boolean): void {
    this.on.value = on;
    rememberSwitch(this.kind, on);
    if (this.track.value !== null) this.track.value.enabled = on;
  }

  /** It goes dark; `open` asks anew. */
  release(): void {
    this.wanted = false;
    const track = this.track.value;
    this.track.value = null;
    if (track !== null) {
      track.onended = null;
      track.stop();
    }
  }

  /** Devices came or went: what was missing may be there now. */
  async devicesChanged(): Promise<void> {
    if (!this.wanted || this.track.value !== null) return;
    if (this.trouble.value === "missing" || this.trouble.value === "busy") await this.open();
  }

  /** No more events. */
  close(): void {
    this.release();
    if (this.permission !== null) this.permission.onchange = null;
  }

  private async ask(): Promise<void> {
    const { track, trouble } = await openDevice(this.kind);
    if (!this.wanted) {
      track?.stop();
      return;
    }
    this.trouble.value = trouble;
    if (track === null) return;
    track.enabled = this.on.value;
    track.onended = () => this.lost("missing");
    this.track.value = track;
  }

  private lost(trouble: DeviceTrouble): void {
    const track = this.track.value;
    if (track === null) return;
    track.onended = null;
    track.stop();
    this.track.value = null;
    this.trouble.value = this.permission?.state === "denied" ? "denied" : trouble;
  }

  private async followPermission(): Promise<void> {
    try {
      const permission = await navigator.permissions.query({ name: this.kind as PermissionName });
      this.permission = permission;
      permission.onchange = () => {
        if (permission.state === "denied") {
          this.lost("denied");
          if (this.wanted) this.trouble.value = "denied";
        } else if (permission.state === "granted" && this.wanted) void this.open();
      };
    } catch {
      // Not every browser can be asked about cameras; there the track's end is the only sign.
    }
  }
}

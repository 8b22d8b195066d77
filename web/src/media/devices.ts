/**
 * Camera and microphone, asked for separately: one that is missing or refused never takes the other away, and without
 * both the call is listen-only.
 */

export type DeviceTrouble = "denied" | "missing" | "busy" | "unavailable";

export interface Device {
  readonly track: MediaStreamTrack | null;
  readonly trouble: DeviceTrouble | null;
}

const CAMERA: MediaTrackConstraints = {
  width: { ideal: 640 },
  height: { ideal: 480 },
  frameRate: { ideal: 24, max: 30 },
};
const MICROPHONE: MediaTrackConstraints = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };

/** What a getUserMedia failure means, by its standard name (Media Capture and Streams, 10.3.1). */
export function troubleOf(name: string): DeviceTrouble {
  switch (name) {
    case "NotAllowedError":
    case "SecurityError":
      return "denied";
    case "NotFoundError":
    case "OverconstrainedError":
      return "missing";
    case "NotReadableError":
    case "AbortError":
      return "busy";
    default:
      return "unavailable";
  }
}

export async function openDevice(kind: "camera" | "microphone"): Promise<Device> {
  // Without a secure context there is no mediaDevices at all.
  if (navigator.mediaDevices === undefined) return { track: null, trouble: "unavailable" };
  try {
    const stream = await navigator.mediaDevices.getUserMedia(
      kind === "camera" ? { video: CAMERA } : { audio: MICROPHONE },
    );
    return { track: stream.getTracks()[0] ?? null, trouble: null };
  } catch (error) {
    return { track: null, trouble: troubleOf(error instanceof DOMException ? error.name : "") };
  }
}

/**
 * Camera and microphone, asked for separately: one that is missing or refused never takes the other away, and without
 * both the call is listen-only.
 */

import { chosenDevice } from "./chosen";

export type DeviceKind = "camera" | "microphone";
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

/** What to ask the browser for; a device that was chosen in this tab is preferred and not insisted on. */
export function constraintsOf(kind: DeviceKind): MediaStreamConstraints {
  const id = chosenDevice(kind);
  const chosen = id === null ? {} : { deviceId: { ideal: id } };
  return kind === "camera" ? { video: { ...CAMERA, ...chosen } } : { audio: { ...MICROPHONE, ...chosen } };
}

export async function openDevice(kind: DeviceKind): Promise<Device> {
  // Without a secure context there is no mediaDevices at all.
  if (navigator.mediaDevices === undefined) return { track: null, trouble: "unavailable" };
  try {
    const stream = await navigator.mediaDevices.getUserMedia(constraintsOf(kind));
    return { track: stream.getTracks()[0] ?? null, trouble: null };
  } catch (error) {
    return { track: null, trouble: troubleOf(error instanceof DOMException ? error.name : "") };
  }
}

/** A camera's picture is sent twice, best first (RFC 8853): whoever has a poor line gets the small one. */
export const LAYERS: readonly RTCRtpEncodingParameters[] = [
  { rid: "h", maxBitrate: 1_200_000 },
  { rid: "l", maxBitrate: 150_000, scaleResolutionDownBy: 2, maxFramerate: 15 },
];

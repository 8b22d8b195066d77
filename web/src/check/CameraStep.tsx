/** The camera: asked for with one button, seen as in a mirror, or why it is not there. */
import { useEffect, useRef } from "preact/hooks";
import { t } from "../i18n";
import { CAMERA_ADVICE } from "./Advice";
import { DeviceAnswers } from "./DeviceAnswers";
import type { OwnDevice } from "./device";
import type { Outcome } from "./outcomes";

const WORDS = {
  on: "check.camera_on",
  yes: "check.camera_seen",
  no: "check.camera_not_seen",
  without: "check.camera_without",
  advice: "check.camera_advice_title",
} as const;

export function CameraStep({ device, onNext }: { device: OwnDevice; onNext: (outcome: Outcome) => void }) {
  useEffect(() => {
    if (device.track.value === null) void device.openIfAllowed();
  }, []);
  const permission = device.permission.value;
  return (
    <>
      {permission === "allowed" ? <Mirror track={device.track.value} /> : null}
      {permission === "not_asked" && <p class="lead">{t("check.camera_ask")}</p>}
      {permission === "asking" && <Asking />}
      <DeviceAnswers device={device} onNext={onNext} noticed words={WORDS} advice={CAMERA_ADVICE} />
    </>
  );
}

/** The browser asks now; where and what to answer. */
export function Asking() {
  return (
    <p class="asking" role="status">
      <strong>{t("check.asking")}</strong>
    </p>
  );
}

/** One's own picture, as in a mirror. */
export function Mirror({ track }: { track: MediaStreamTrack | null }) {
  const video = useRef<HTMLVideoElement>(null);
  useEffect(() => {
    if (video.current === null) return;
    video.current.srcObject = track === null ? null : new MediaStream([track]);
    void video.current.play().catch(() => undefined); // plays with the next touch
  }, [track]);
  return (
    <div class="mirror">
      <video ref={video} autoplay playsInline muted aria-label={t("call.self")} />
    </div>
  );
}

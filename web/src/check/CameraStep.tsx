/** The camera: asked for with one button, seen as in a mirror, or why it is not there. */
import { useEffect, useRef } from "preact/hooks";
import { t } from "../i18n";
import type { Outcome } from "./CheckFlow";
import { Choices } from "./Choices";
import { DeviceTrouble, isTrouble } from "./DeviceTrouble";
import type { OwnDevice } from "./device";

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
      <DeviceTrouble device={device} />
      <Choices device={device} />
      <div class="actions">
        {permission === "not_asked" && (
          <button type="button" class="big primary" onClick={() => void device.ask()}>
            {t("check.camera_on")}
          </button>
        )}
        {permission === "allowed" && (
          <button type="button" class="big primary" onClick={() => onNext("works")}>
            {t("check.camera_seen")}
          </button>
        )}
        <button
          type="button"
          class="big"
          onClick={() => onNext(isTrouble(permission) || permission === "allowed" ? "fails" : "skipped")}
        >
          {permission === "allowed" ? t("check.camera_not_seen") : t("check.camera_without")}
        </button>
      </div>
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

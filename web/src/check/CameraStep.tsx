/** The camera: asked for with one button, seen as in a mirror, or why it is not there. */
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { t } from "../i18n";
import { AdviceBox, CAMERA_ADVICE } from "./Advice";
import { Choices } from "./Choices";
import { DeviceTrouble, isTrouble } from "./DeviceTrouble";
import type { OwnDevice } from "./device";
import type { Outcome } from "./outcomes";

export function CameraStep({ device, onNext }: { device: OwnDevice; onNext: (outcome: Outcome) => void }) {
  const answeredNo = useSignal(false);
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
      {permission === "allowed" && answeredNo.value && (
        <AdviceBox title="check.camera_advice_title" lines={CAMERA_ADVICE} />
      )}
      <Choices device={device} open={answeredNo.value} />
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
        {permission === "allowed" && !answeredNo.value && (
          <button
            type="button"
            class="big"
            data-answer="no"
            onClick={() => {
              answeredNo.value = true;
            }}
          >
            {t("check.camera_not_seen")}
          </button>
        )}
        {permission === "allowed" && answeredNo.value && (
          <button type="button" class="big" onClick={() => void device.ask()}>
            {t("check.again")}
          </button>
        )}
        {(permission !== "allowed" || answeredNo.value) && (
          <button
            type="button"
            class="big"
            onClick={() => onNext(isTrouble(permission) || answeredNo.value ? "fails" : "skipped")}
          >
            {t("check.camera_without")}
          </button>
        )}
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

/** One's own picture while one waits, or the one button that asks for camera and microphone, or why they are not there. */
import { useEffect } from "preact/hooks";
import { Asking, Mirror } from "../check/CameraStep";
import { DeviceTrouble, isTrouble } from "../check/DeviceTrouble";
import type { OwnDevice } from "../check/device";
import { LevelBar } from "../check/LevelBar";
import { t } from "../i18n";
import { Icon } from "../parts/Icon";
import type { Visit } from "./visit";

export function OwnDevices({ visit }: { visit: Visit }) {
  const { camera, microphone } = visit;
  useEffect(() => {
    if (visit.listenOnly.value) return;
    void camera.openIfAllowed();
    void microphone.openIfAllowed();
  }, []);
  if (visit.listenOnly.value) {
    return (
      <div class="own">
        <p>{t("own.listen_only")}</p>
        <button
          type="button"
          class="big"
          onClick={() => {
            visit.setListenOnly(false);
            void ask(camera, microphone);
          }}
        >
          {t("own.turn_on")}
        </button>
      </div>
    );
  }
  const seen = camera.permission.value;
  const heard = microphone.permission.value;
  const toAsk = seen === "not_asked" || heard === "not_asked";
  const asking = seen === "asking" || heard === "asking";
  return (
    <div class="own" data-camera={seen} data-microphone={heard}>
      {camera.track.value !== null && <Mirror track={camera.track.value} />}
      {toAsk && !asking && (
        <>
          <p class="lead">{t("own.ask")}</p>
          <button type="button" class="big primary" data-command="devices" onClick={() => void ask(camera, microphone)}>
            <Icon name="camera" />
            {t("own.turn_on")}
          </button>
        </>
      )}
      {asking && <Asking />}
      <DeviceTrouble device={camera} />
      <DeviceTrouble device={microphone} />
      {microphone.track.value !== null && (
        <div class="own-voice">
          <Icon name="microphone" />
          <LevelBar track={microphone.track.value} onVoice={() => undefined} />
        </div>
      )}
      {(toAsk || asking || isTrouble(seen) || isTrouble(heard)) && (
        <button type="button" class="plain" onClick={() => visit.setListenOnly(true)}>
          {t("own.without")}
        </button>
      )}
    </div>
  );
}

/** One after the other: two questions at once are answered wrongly. */
async function ask(camera: OwnDevice, microphone: OwnDevice): Promise<void> {
  if (camera.permission.value !== "allowed") await camera.ask();
  if (microphone.permission.value !== "allowed") await microphone.ask();
}

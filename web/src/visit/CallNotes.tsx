/** What one should know in the call: a device that is not there, a microphone that was switched off, the telephone. */
import { useSignal } from "@preact/signals";
import { BrowserGuide } from "../check/Guide";
import { t } from "../i18n";
import type { Key } from "../i18n/keys";
import type { DeviceKind, DeviceTrouble } from "../media/devices";
import { Dialog } from "../parts/Dialog";
import { Icon } from "../parts/Icon";
import type { RoomCall } from "../room/call";
import type { RoomConnection } from "../room/connection";
import { turn } from "./CallBar";
import type { Visit } from "./visit";

const CAMERA: Record<DeviceTrouble, Key> = {
  denied: "in.camera_denied",
  missing: "in.camera_missing",
  busy: "in.camera_busy",
  unavailable: "in.camera_unavailable",
};
const MICROPHONE: Record<DeviceTrouble, Key> = {
  denied: "in.microphone_denied",
  missing: "in.microphone_missing",
  busy: "in.microphone_busy",
  unavailable: "in.microphone_unavailable",
};

export function CallNotes({ visit, room, call }: { visit: Visit; room: RoomConnection; call: RoomCall }) {
  const guide = useSignal<DeviceKind | null>(null);
  const dismissed = useSignal("");
  const camera = call.cameraTrouble.value;
  const microphone = call.microphoneTrouble.value;
  const trouble = `${camera ?? ""} ${microphone ?? ""}`;
  const denied: DeviceKind | null = microphone === "denied" ? "microphone" : camera === "denied" ? "camera" : null;
  const away = visit.seat.value?.state === "interrupted" && room.socketState.value === "open";
  const phone = visit.phone.value ?? "";
  const silent = call.microphone.track.value !== null && !call.microphoneOn.value;
  return (
    <>
      <div role="status">
        {visit.seat.value?.phone_since != null && (
          <p class="in-note is-phone" data-note="phone">
            <Icon name="phone" size={28} />
            <span>
              {t("in.by_phone")} <strong class="numbers">{phone}</strong>
            </span>
          </p>
        )}
        {away && visit.seat.value?.phone_since == null && (
          <p class="in-note" data-note="away">
            <Icon name="clock" size={28} />
            <span>{t("in.away")}</span>
          </p>
        )}
        {silent && (
          <p class="in-note is-muted" data-note="muted">
            <Icon name="microphoneOff" size={28} />
            <span>{t(call.mutedByOther.value ? "in.muted_by_other" : "in.muted")}</span>
            <button type="button" class="big" data-command="unmute" onClick={() => speak(call)}>
              {t("in.unmute")}
            </button>
          </p>
        )}
        {visit.line.value?.network.value === "poor" && call.cameraOn.value && call.camera.track.value !== null && (
          <p class="in-note" data-note="poor">
            <Icon name="warning" size={28} />
            <span>{t("in.poor")}</span>
          </p>
        )}
        {!call.asked.value && !call.listenOnly.value && (
          <p class="in-note" data-note="asking">
            <Icon name="camera" size={28} />
            <span>{t("in.asking")}</span>
          </p>
        )}
      </div>
      {(camera !== null || microphone !== null) && !call.listenOnly.value && dismissed.value !== trouble && (
        <div class="in-note is-trouble" role="alert" data-note="devices">
          <div>
            {microphone !== null && <p data-trouble={`microphone_${microphone}`}>{t(MICROPHONE[microphone])}</p>}
            {camera !== null && <p data-trouble={`camera_${camera}`}>{t(CAMERA[camera])}</p>}
            <div class="in-note-actions">
              {denied === null ? (
                <button type="button" class="big" onClick={() => void call.askAgain()}>
                  {t("check.again")}
                </button>
              ) : (
                <button
                  type="button"
                  class="big"
                  onClick={() => {
                    guide.value = denied;
                  }}
                >
                  {t("in.show_how")}
                </button>
              )}
              <button
                type="button"
                class="big"
                onClick={() => {
                  dismissed.value = trouble;
                }}
              >
                {t("in.only_listen")}
              </button>
            </div>
          </div>
        </div>
      )}
      {guide.value !== null && (
        <Dialog
          title={t("in.show_how")}
          onClose={() => {
            guide.value = null;
          }}
        >
          <div class="is-light guide-sheet">
            <BrowserGuide kind={guide.value} />
          </div>
          <div class="dialog-actions is-large">
            <button
              type="button"
              class="big primary"
              onClick={() => {
                guide.value = null;
                void call.askAgain();
              }}
            >
              {t("check.again")}
            </button>
          </div>
        </Dialog>
      )}
    </>
  );
}

/** Heard again; the focus stays with the microphone, for the button that had it is gone. */
function speak(call: RoomCall): void {
  turn(call, "microphone", true);
  document.querySelector<HTMLElement>(".in-bar [data-command=microphone]")?.focus();
}

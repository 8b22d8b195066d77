/** The pictures of the call, and what to do when a camera, a microphone or the call cannot be had. */
import type { Signal } from "@preact/signals";
import { errorSentence, t } from "../i18n";
import type { Key } from "../i18n/keys";
import type { DeviceTrouble } from "../media/devices";
import { Icon } from "../parts/Icon";
import { Pictures } from "../room/Pictures";
import { RecordingMark } from "../room/RecordingMark";
import { largeTile } from "../room/tiles";
import type { LiveConsultation } from "./consultation";

const CAMERA_TROUBLE: Record<DeviceTrouble, Key> = {
  denied: "camera.denied",
  missing: "camera.missing",
  busy: "camera.busy",
  unavailable: "camera.unavailable",
};

const MICROPHONE_TROUBLE: Record<DeviceTrouble, Key> = {
  denied: "microphone.denied",
  missing: "microphone.missing",
  busy: "microphone.busy",
  unavailable: "microphone.unavailable",
};

interface CallPanelProps {
  readonly live: LiveConsultation;
  readonly wide: Signal<boolean>;
  readonly chosen: Signal<string | null>;
  /** The picture can grow over the waves. */
  readonly widens: boolean;
  readonly over: boolean;
}

export function CallPanel({ live, wide, chosen, widens, over }: CallPanelProps) {
  const { call, room } = live;
  const large = largeTile(call.tiles.value, chosen.value, true);
  return (
    <section
      class="call"
      aria-label={t("call.title")}
      data-playing={large?.state ?? "idle"}
      data-publishing={call.publishing.value}
    >
      <Pictures room={room} call={call} chosen={chosen} staff instead={over ? t("call.ended") : null}>
        {widens && !over && (
          <button
            type="button"
            class="widen"
            aria-pressed={wide.value}
            title={t("call.widen")}
            onClick={() => {
              wide.value = !wide.value;
            }}
          >
            <Icon name="expand" size={20} />
            <span class="visually-hidden">{t("call.widen")}</span>
          </button>
        )}
      </Pictures>
      {!over && (
        <div class="call-facts">
          <RecordingMark since={room.info.value?.recording_since} />
          <p class={`call-state is-${call.publishing.value}`}>
            <span class="dot" aria-hidden="true" />
            {publishingWords(live)}
          </p>
          <DeviceNotes live={live} />
          {call.mutedByOther.value && (
            <p class="note" role="status">
              {t("call.muted_by_other")}
            </p>
          )}
          {call.fault.value !== null && <p class="note is-warning">{errorSentence(call.fault.value)}</p>}
        </div>
      )}
    </section>
  );
}

function publishingWords(live: LiveConsultation): string {
  const { call, room } = live;
  if (!room.inCall.value) return t("call.you_idle");
  if (!call.asked.value) return t("call.asking");
  const both = call.cameraTrouble.value !== null && call.microphoneTrouble.value !== null;
  if (both || call.listenOnly.value) return t("call.listen_only");
  switch (call.publishing.value) {
    case "connected":
      return t("call.you_are_seen");
    case "idle":
      return t("call.you_idle");
    case "refused":
      return t("call.refused");
    default:
      return t("call.you_connecting");
  }
}

function DeviceNotes({ live }: { live: LiveConsultation }) {
  const camera = live.call.cameraTrouble.value;
  const microphone = live.call.microphoneTrouble.value;
  if (camera === null && microphone === null) return null;
  return (
    <div class="note is-warning" role="status">
      {camera !== null && <p data-code={`camera_${camera}`}>{t(CAMERA_TROUBLE[camera])}</p>}
      {microphone !== null && <p data-code={`microphone_${microphone}`}>{t(MICROPHONE_TROUBLE[microphone])}</p>}
      <button type="button" class="button" onClick={() => void live.call.askAgain()}>
        {t("call.ask_again")}
      </button>
    </div>
  );
}

/** The picture of the station, one's own picture, and what to do when one of them cannot be had. */
import type { Signal } from "@preact/signals";
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { errorSentence, t } from "../i18n";
import type { Key } from "../i18n/keys";
import type { DeviceTrouble } from "../media/devices";
import type { LegState } from "../media/leg";
import { OriginBadge } from "../parts/badges";
import { Icon } from "../parts/Icon";
import type { BoardLayout } from "../waves/rows";
import type { LiveConsultation } from "./consultation";

const CALL_WORDS: Record<LegState, Key> = {
  idle: "call.idle",
  connecting: "call.connecting",
  connected: "call.connected",
  recovering: "call.recovering",
  refused: "call.refused",
};

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
  readonly layout: BoardLayout;
  readonly over: boolean;
}

export function CallPanel({ live, wide, layout, over }: CallPanelProps) {
  const { call } = live;
  const remote = useRef<HTMLVideoElement>(null);
  const self = useRef<HTMLVideoElement>(null);
  const needsTouch = useSignal(false);
  const remoteStream = call.remoteStream.value;
  const selfStream = call.selfStream.value;
  useEffect(() => {
    const video = remote.current;
    if (video === null) return;
    video.srcObject = remoteStream;
    if (remoteStream !== null) void play(video, needsTouch);
  }, [remoteStream]);
  useEffect(() => {
    if (self.current !== null) self.current.srcObject = selfStream;
  }, [selfStream]);
  const playing = call.playing.value;
  return (
    <section class="call" aria-label={t("call.title")} data-playing={playing} data-publishing={call.publishing.value}>
      <div class="picture">
        <video id="remote-video" ref={remote} autoplay playsInline aria-label={t("call.remote")} />
        {(over || playing !== "connected") && (
          <p class="picture-words">
            <Icon name={over ? "cameraOff" : "camera"} size={28} />
            {over ? t("call.ended") : t(CALL_WORDS[playing])}
          </p>
        )}
        <video
          id="self-video"
          ref={self}
          class={selfStream !== null && call.cameraOn.value ? "" : "is-hidden"}
          autoplay
          playsInline
          muted
          aria-label={t("call.self")}
        />
        {needsTouch.value && !over && (
          <button
            type="button"
            class="button primary sound-button"
            onClick={() => void play(remote.current, needsTouch)}
          >
            <Icon name="sound" />
            {t("call.sound")}
          </button>
        )}
        {layout === "examine" && !over && (
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
      </div>
      <div class="call-facts">
        {!over && (
          <p class={`call-state is-${call.publishing.value}`}>
            <span class="dot" aria-hidden="true" />
            {publishingWords(live)}
          </p>
        )}
        {!over && <DeviceNotes live={live} />}
        {!over && call.fault.value !== null && <p class="note is-warning">{errorSentence(call.fault.value)}</p>}
        <Sources live={live} />
      </div>
    </section>
  );
}

async function play(video: HTMLVideoElement | null, needsTouch: Signal<boolean>): Promise<void> {
  try {
    await video?.play();
    needsTouch.value = false;
  } catch (error) {
    // A browser refuses sound before the first touch; a stream that was replaced meanwhile is no refusal.
    needsTouch.value = error instanceof DOMException && error.name === "NotAllowedError";
  }
}

function publishingWords(live: LiveConsultation): string {
  const { call } = live;
  const state = live.info.value?.state;
  if (state !== "live" && state !== "interrupted") return t("call.you_idle");
  if (!call.asked.value) return t("call.asking");
  const both = call.cameraTrouble.value !== null && call.microphoneTrouble.value !== null;
  if (both) return t("call.listen_only");
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

/** Which devices the signals come from, and what they are. */
function Sources({ live }: { live: LiveConsultation }) {
  const streams = live.streams.value.filter((stream) => stream.live);
  if (streams.length === 0) return null;
  return (
    <div class="sources">
      <h2>{t("sources.title")}</h2>
      <ul>
        {streams.map((stream) => (
          <li key={stream.stream}>
            <span>{t(KIND_WORDS[stream.kind] ?? "kind.other")}</span>
            <span class="muted">{stream.device}</span>
            <OriginBadge origin={stream.origin} />
          </li>
        ))}
      </ul>
    </div>
  );
}

const KIND_WORDS: Record<string, Key> = {
  ecg: "kind.ecg",
  pleth: "kind.pleth",
  respiration: "kind.respiration",
  spo2: "kind.spo2",
  blood_pressure: "kind.blood_pressure",
  temperature: "kind.temperature",
  heart_rate: "kind.heart_rate",
};

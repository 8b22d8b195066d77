/**
 * The pictures of a call: one large, one's own small, the others as buttons that make them large. Every voice is heard
 * whichever picture is large.
 */
import type { Signal } from "@preact/signals";
import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { t } from "../i18n";
import type { Key } from "../i18n/keys";
import type { LegState } from "../media/leg";
import { Icon } from "../parts/Icon";
import type { RoomCall, Tile } from "./call";
import type { RoomConnection } from "./connection";
import { largeTile, personOf } from "./tiles";
import { tileWords } from "./words";

const STATE_WORDS: Record<LegState, Key> = {
  idle: "call.idle",
  connecting: "call.connecting",
  connected: "call.connected",
  recovering: "call.recovering",
  refused: "call.refused",
};

interface PicturesProps {
  readonly room: RoomConnection;
  readonly call: RoomCall;
  /** The key of the tile that was made large; null: the page decides. */
  readonly chosen: Signal<string | null>;
  /** Whose pictures come first: staff look at the patient, others at the clinician. */
  readonly staff: boolean;
  /** Words instead of a picture: nothing comes any more, or not yet. */
  readonly instead: string | null;
  /** Buttons that lie on the large picture. */
  readonly children?: ComponentChildren;
}

export function Pictures({ room, call, chosen, staff, instead, children }: PicturesProps) {
  const tiles = call.tiles.value;
  const people = room.people.value;
  const large = largeTile(tiles, chosen.value, staff);
  const small = tiles.filter((tile) => tile !== large);
  const silent = useSignal(false);
  const host = useRef<HTMLDivElement>(null);
  const playAll = () => {
    silent.value = false;
    for (const video of host.current?.querySelectorAll("video") ?? []) void play(video, silent);
  };
  const words = instead ?? (large === null ? t("call.idle") : null);
  return (
    <div class="pictures" ref={host} data-tiles={tiles.length}>
      <div class={`picture ${words !== null || silent.value ? "has-words" : ""}`} data-large={large?.key}>
        <Video id="remote-video" stream={large?.stream ?? null} label={largeLabel()} silent={silent} />
        {words !== null && <PictureWords icon={instead === null ? "camera" : "cameraOff"} words={words} />}
        {words === null && large !== null && over(large)}
        <SelfPicture call={call} />
        {silent.value && instead === null && (
          <button
            type="button"
            class={`${staff ? "button" : "big"} primary sound-button`}
            data-command="play"
            onClick={playAll}
          >
            <Icon name="sound" />
            {t(staff ? "call.sound" : "in.play")}
          </button>
        )}
        {large !== null && words === null && <p class="picture-name">{tileWords(people, large)}</p>}
        {children}
      </div>
      {small.length > 0 && (
        <ul class="tiles" aria-label={t("tile.others")}>
          {small.map((tile) => (
            <li key={tile.key} data-tile={tile.key} data-source={tile.source} data-state={tile.state}>
              <button
                type="button"
                class="small-tile"
                title={t("tile.enlarge", { who: tileWords(people, tile) })}
                onClick={() => {
                  chosen.value = tile.key;
                }}
              >
                <Video stream={tile.stream} label="" silent={silent} />
                {!seen(tile) && (
                  <span class="small-tile-face">
                    <Icon name={tile.state === "connected" ? "person" : "clock"} size={24} />
                  </span>
                )}
                <span class="small-tile-name">
                  <span class="visually-hidden">{t("tile.enlarge", { who: "" })}</span>
                  {tileWords(people, tile)}
                </span>
              </button>
            </li>
          ))}
        </ul>
      )}
    </div>
  );

  function largeLabel(): string {
    return large === null ? t("call.remote") : t("tile.picture_of", { who: tileWords(people, large) });
  }

  function seen(tile: Tile): boolean {
    const person = personOf(people, tile.participant);
    const off = tile.source === "camera" && person !== null && person.kind !== "station" && !person.camera;
    return tile.kinds.includes("video") && tile.state === "connected" && !off;
  }

  /** Why the large picture is none: it is only a voice, its camera is off, or it is not connected. */
  function over(tile: Tile) {
    if (tile.state !== "connected") return <PictureWords icon="camera" words={t(STATE_WORDS[tile.state])} />;
    if (seen(tile)) {
      const poor = tile.paused || room.tooPoor.value.has(tile.publication);
      return poor ? <PictureWords icon="cameraOff" words={t("tile.poor_line")} filled /> : null;
    }
    return <PictureWords icon="person" words={t("tile.voice_only", { who: tileWords(people, tile) })} filled />;
  }
}

function PictureWords(props: { icon: "camera" | "cameraOff" | "person"; words: string; filled?: boolean }) {
  return (
    <p class={`picture-words ${props.filled === true ? "is-filled" : ""}`}>
      <Icon name={props.icon} size={28} />
      {props.words}
    </p>
  );
}

function SelfPicture({ call }: { call: RoomCall }) {
  const self = useRef<HTMLVideoElement>(null);
  const stream = call.selfStream.value;
  useEffect(() => {
    if (self.current !== null) self.current.srcObject = stream;
  }, [stream]);
  return (
    <video
      id="self-video"
      ref={self}
      class={stream !== null && call.cameraOn.value ? "" : "is-hidden"}
      autoplay
      playsInline
      muted
      aria-label={t("call.self")}
    />
  );
}

function Video(props: { id?: string; stream: MediaStream | null; label: string; silent: Signal<boolean> }) {
  const element = useRef<HTMLVideoElement>(null);
  const { stream, silent } = props;
  useEffect(() => {
    const video = element.current;
    if (video === null) return;
    video.srcObject = stream;
    if (stream !== null) void play(video, silent);
  }, [stream]);
  const named = props.label === "" ? { "aria-hidden": true } : { "aria-label": props.label };
  return <video id={props.id} ref={element} autoplay playsInline {...named} />;
}

async function play(video: HTMLVideoElement | null, silent: Signal<boolean>): Promise<void> {
  try {
    await video?.play();
  } catch (error) {
    // A browser refuses sound before the first touch; a stream that was replaced meanwhile is no refusal.
    if (error instanceof DOMException && error.name === "NotAllowedError") silent.value = true;
  }
}

/** The buttons of the call: large, with words, the state said in words and not by colour alone. */
import { t } from "../i18n";
import { Icon, type IconName } from "../parts/Icon";
import type { RoomCall } from "../room/call";
import type { RoomConnection } from "../room/connection";
import { nextTextSize, textSize } from "./textsize";

export type Sheet = "chat" | "people";

interface CallBarProps {
  readonly room: RoomConnection;
  readonly call: RoomCall;
  readonly sheet: Sheet | null;
  /** How many messages nobody read here. */
  readonly unread: number;
  readonly onSheet: (sheet: Sheet) => void;
  readonly onLeave: () => void;
}

export function CallBar({ room, call, sheet, unread, onSheet, onLeave }: CallBarProps) {
  const microphone = call.microphoneOn.value && call.microphone.track.value !== null;
  const camera = call.cameraOn.value && call.camera.track.value !== null;
  return (
    <div class="in-bar" role="toolbar" aria-label={t("bar.title")}>
      <BarButton
        name="microphone"
        icon={microphone ? "microphone" : "microphoneOff"}
        words={t("in.microphone")}
        state={stateWords(call, "microphone", microphone)}
        pressed={microphone}
        onClick={() => turn(call, "microphone", !microphone)}
      />
      <BarButton
        name="camera"
        icon={camera ? "camera" : "cameraOff"}
        words={t("in.camera")}
        state={stateWords(call, "camera", camera)}
        pressed={camera}
        onClick={() => turn(call, "camera", !camera)}
      />
      <BarButton
        name="people"
        icon="person"
        words={t("in.people")}
        state={String(room.people.value.filter((person) => person.here && person.seat !== "waiting").length)}
        pressed={sheet === "people"}
        onClick={() => onSheet("people")}
      />
      <BarButton
        name="chat"
        icon="chat"
        words={t("in.chat")}
        state={unread > 0 ? t("in.unread", { count: unread }) : ""}
        fresh={unread > 0}
        pressed={sheet === "chat"}
        onClick={() => onSheet("chat")}
      />
      <BarButton
        name="text"
        icon="letters"
        words={t("in.text")}
        state={t("in.text_size", { size: textSize.value })}
        onClick={nextTextSize}
      />
      <BarButton name="leave" icon="end" words={t("in.leave")} state="" leave onClick={onLeave} />
    </div>
  );
}

/** Switch a device; one that is not there is asked for first. */
export function turn(call: RoomCall, which: "camera" | "microphone", on: boolean): void {
  if (call.listenOnly.value) call.setListenOnly(false);
  if (which === "camera") call.setCamera(on);
  else call.setMicrophone(on);
  if (on && call[which].track.value === null) void call.askAgain();
}

function stateWords(call: RoomCall, which: "camera" | "microphone", on: boolean): string {
  if (call[which].track.value === null) return t("in.not_there");
  return on ? t("in.on", { device: which }) : t("in.off", { device: which });
}

function BarButton(props: {
  name: string;
  icon: IconName;
  words: string;
  state: string;
  pressed?: boolean;
  fresh?: boolean;
  leave?: boolean;
  onClick: () => void;
}) {
  return (
    <button
      type="button"
      class={`in-button ${props.leave === true ? "is-leave" : ""} ${props.fresh === true ? "is-fresh" : ""}`}
      data-command={props.name}
      aria-pressed={props.pressed}
      onClick={props.onClick}
    >
      <Icon name={props.icon} size={28} />
      <span class="in-button-words">{props.words}</span>
      {props.state !== "" && <span class="in-button-state">{props.state}</span>}
    </button>
  );
}

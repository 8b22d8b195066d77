/** The commands of a live consultation, each with its key. */
import { t } from "../i18n";
import { Icon, type IconName } from "../parts/Icon";
import type { BoardLayout } from "../waves/rows";
import type { LiveConsultation } from "./consultation";

interface BottomBarProps {
  readonly live: LiveConsultation;
  readonly layout: BoardLayout;
  /** There is a station, so there are waves. */
  readonly waves: boolean;
  readonly frozen: boolean;
  readonly over: boolean;
  /** May end the consultation; another person leaves it. */
  readonly ends: boolean;
  /** Why the traces may not be drawn another way now; null when they may. */
  readonly locked: string | null;
  readonly onLayout: () => void;
  readonly onFreeze: () => void;
  readonly onPicture: () => void;
  readonly onKeys: () => void;
  readonly onEnd: () => void;
}

export function BottomBar(props: BottomBarProps) {
  const { call } = props.live;
  const noMicrophone = call.microphoneTrouble.value !== null;
  const noCamera = call.cameraTrouble.value !== null;
  const microphone = call.microphoneOn.value && !noMicrophone;
  const camera = call.cameraOn.value && !noCamera;
  const { over } = props;
  const sharing = call.screenStream.value !== null;
  return (
    <div class="bottom-bar" role="toolbar" aria-label={t("bar.title")}>
      {!over && (
        <div class="bar-group">
          <Command
            name="microphone"
            icon={microphone ? "microphone" : "microphoneOff"}
            words={
              noMicrophone ? t("bar.no_microphone") : microphone ? t("bar.microphone_on") : t("bar.microphone_off")
            }
            hint="A"
            pressed={microphone}
            disabled={noMicrophone}
            onClick={() => call.setMicrophone(!microphone)}
          />
          <Command
            name="camera"
            icon={camera ? "camera" : "cameraOff"}
            words={noCamera ? t("bar.no_camera") : camera ? t("bar.camera_on") : t("bar.camera_off")}
            hint="V"
            pressed={camera}
            disabled={noCamera}
            onClick={() => call.setCamera(!camera)}
          />
          {call.canShare && (
            <Command
              name="screen"
              icon="screen"
              words={sharing ? t("bar.screen_on") : t("bar.screen_off")}
              hint="X"
              pressed={sharing}
              disabled={!props.live.room.inCall.value}
              onClick={() => (sharing ? call.stopScreen() : void call.shareScreen())}
            />
          )}
        </div>
      )}
      <div class="bar-group">
        {!over && props.waves && (
          <Command
            name="freeze"
            icon="freeze"
            words={t("bar.freeze")}
            hint="F"
            pressed={props.frozen}
            onClick={props.onFreeze}
          />
        )}
        {props.waves && (
          <Command
            name="layout"
            icon="layout"
            words={props.layout === "examine" ? t("bar.to_talk") : t("bar.to_examine")}
            hint="L"
            locked={props.locked}
            onClick={props.onLayout}
          />
        )}
        {!over && call.tiles.value.length > 1 && (
          <Command name="picture" icon="pictures" words={t("bar.next_picture")} hint="P" onClick={props.onPicture} />
        )}
        <Command name="keys" icon="keyboard" words={t("bar.keys")} hint="?" onClick={props.onKeys} />
      </div>
      <button
        type="button"
        class={`button end-button ${over ? "primary" : props.ends ? "danger" : ""}`}
        data-command={props.ends || over ? "end" : "leave"}
        onClick={props.onEnd}
      >
        <Icon name={over ? "forward" : props.ends ? "end" : "back"} />
        {over ? t("live.to_review") : props.ends ? t("bar.end") : t("bar.leave")}
      </button>
    </div>
  );
}

function Command(props: {
  name: string;
  icon: IconName;
  words: string;
  hint: string;
  pressed?: boolean;
  disabled?: boolean;
  locked?: string | null;
  onClick: () => void;
}) {
  const locked = props.locked ?? null;
  return (
    <button
      type="button"
      class="command"
      data-command={props.name}
      aria-pressed={props.pressed}
      aria-keyshortcuts={props.hint}
      disabled={props.disabled}
      aria-disabled={locked !== null || undefined}
      title={locked ?? props.words}
      onClick={() => {
        if (locked === null) props.onClick();
      }}
    >
      <Icon name={props.icon} />
      <span class="command-words">{props.words}</span>
      <kbd>{props.hint}</kbd>
    </button>
  );
}

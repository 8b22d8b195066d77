/** What one says and shares. A file is shown and asked about before it goes: it cannot be taken back. */
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { t } from "../i18n";
import { decimal } from "../i18n/numbers";
import { Icon } from "../parts/Icon";
import type { RoomConnection } from "./connection";
import { PREVIEW_MOST } from "./FileCard";
import { TEXT_MOST } from "./outbox";
import { sizeWords } from "./words";

interface ChatFormProps {
  readonly room: RoomConnection;
  readonly guest: boolean;
  /** Chosen files are on their way. */
  readonly onShared: () => void;
}

export function ChatForm({ room, guest, onShared }: ChatFormProps) {
  const text = useSignal("");
  const field = useRef<HTMLTextAreaElement>(null);
  const send = () => {
    // What is not taken yet stays in the field.
    if (text.value.trim() === "" || !room.say(text.value)) return;
    text.value = "";
    field.current?.focus();
  };
  const chosen = useSignal<readonly File[]>([]);
  const form = useRef<HTMLFormElement>(null);
  const dropped = useRef(false);
  const choose = (input: HTMLInputElement) => {
    chosen.value = [...(input.files ?? [])];
    input.value = ""; // The same file may be chosen once more.
  };
  const asks = chosen.value.length > 0;
  useEffect(() => {
    if (asks || !dropped.current) return;
    dropped.current = false;
    form.current?.querySelector<HTMLInputElement>("input[type=file]")?.focus();
  }, [asks]);
  if (asks) {
    return (
      <AskFirst
        files={chosen.value}
        onSend={() => {
          for (const file of chosen.value) void room.sendFile(file);
          chosen.value = [];
          onShared();
        }}
        onDrop={() => {
          dropped.current = true;
          chosen.value = [];
        }}
      />
    );
  }
  const file = (
    <FileButton
      key="file"
      icon="clip"
      words={t(guest ? "chat.attach_short" : "chat.attach")}
      shown={guest}
      multiple
      onFiles={choose}
    />
  );
  const photo = (
    <FileButton
      key="photo"
      icon="photo"
      words={t(guest ? "chat.photo_short" : "chat.photo")}
      shown={guest}
      accept="image/*"
      capture="environment"
      onFiles={choose}
    />
  );
  return (
    <form
      ref={form}
      class="chat-form"
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
    >
      <label class="chat-field">
        <span class="visually-hidden">{t("chat.write")}</span>
        <textarea
          ref={field}
          rows={2}
          maxLength={TEXT_MOST}
          placeholder={t("chat.write")}
          value={text.value}
          data-chat-text
          onInput={({ currentTarget: it }) => {
            text.value = it.value;
          }}
          onKeyDown={(event) => {
            if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
            event.preventDefault();
            send();
          }}
        />
      </label>
      <div class="chat-buttons">
        {guest ? [photo, file] : [file, photo]}
        <button type="submit" class="button primary chat-send" data-command="say">
          {t("chat.send")}
        </button>
      </div>
    </form>
  );
}

/** A file input that looks like the other buttons and takes the focus itself. */
function FileButton(props: {
  icon: "clip" | "photo";
  words: string;
  /** The words stand beside the icon. */
  shown: boolean;
  accept?: string;
  capture?: "environment";
  multiple?: boolean;
  onFiles: (input: HTMLInputElement) => void;
}) {
  const { capture } = props;
  return (
    <label class={`file-button ${props.shown ? "is-worded" : ""}`} title={props.shown ? undefined : props.words}>
      <Icon name={props.icon} size={22} />
      <span class={props.shown ? "" : "visually-hidden"}>{props.words}</span>
      <input
        type="file"
        multiple={props.multiple}
        accept={props.accept}
        {...(capture === undefined ? {} : { capture })}
        onChange={({ currentTarget: it }) => props.onFiles(it)}
      />
    </label>
  );
}

/** The chosen files, small, and the question whether they shall go. */
function AskFirst(props: { files: readonly File[]; onSend: () => void; onDrop: () => void }) {
  const send = useRef<HTMLButtonElement>(null);
  useEffect(() => send.current?.focus(), []);
  return (
    <div class="chat-ask" role="group" aria-labelledby="chat-ask-title" data-ask={props.files.length}>
      <p id="chat-ask-title">
        <strong>{t("chat.ask", { count: props.files.length })}</strong>
      </p>
      <ul class="chat-chosen">
        {props.files.map((file) => (
          <li key={`${file.name} ${file.size} ${file.lastModified}`}>
            <Chosen file={file} />
          </li>
        ))}
      </ul>
      <div class="chat-ask-buttons">
        <button type="button" class="button" data-command="drop-files" onClick={props.onDrop}>
          {t("chat.drop")}
        </button>
        <button ref={send} type="button" class="button primary" data-command="send-files" onClick={props.onSend}>
          {t("chat.send")}
        </button>
      </div>
    </div>
  );
}

function Chosen({ file }: { file: File }) {
  const address = useSignal<string | null>(null);
  useEffect(() => {
    if (!file.type.startsWith("image/") || file.size > PREVIEW_MOST) return undefined;
    const made = URL.createObjectURL(file);
    address.value = made;
    return () => URL.revokeObjectURL(made);
  }, [file]);
  return (
    <>
      {address.value !== null && (
        // A kind of picture that this browser cannot draw goes by its name alone.
        <img
          class="chat-picture"
          src={address.value}
          alt={t("chat.picture", { name: file.name })}
          onError={() => {
            address.value = null;
          }}
        />
      )}
      <p class="chat-file-name">
        {file.name} <span class="muted numbers">{sizeWords(file.size, decimal)}</span>
      </p>
    </>
  );
}

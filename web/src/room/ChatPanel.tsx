/** The chat of a room: what was said, what is not confirmed yet, files and photos. Text is text, never markup. */
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { errorSentence, t } from "../i18n";
import { clockTime, decimal } from "../i18n/numbers";
import { Icon } from "../parts/Icon";
import type { Line } from "../protocol/people";
import type { RoomConnection } from "./connection";
import { FileCard } from "./FileCard";
import { type PendingLine, TEXT_MOST } from "./outbox";
import { nameOf, sizeWords } from "./words";

/** So near the end counts as reading along. */
const NEAR_END_PX = 80;

/** `closed` is why nothing can be said here; null when it can. */
export function ChatPanel({ room, closed = null }: { room: RoomConnection; closed?: string | null }) {
  const list = useRef<HTMLOListElement>(null);
  const follows = useRef(true);
  const lines = room.lines.value;
  const pending = room.pending.value;
  useEffect(() => {
    if (follows.current && list.current !== null) list.current.scrollTop = list.current.scrollHeight;
  }, [lines.length, pending.length]);
  return (
    <section class="chat" aria-label={t("chat.title")}>
      <ol
        class="chat-lines"
        ref={list}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a list that scrolls must be reachable by keys (WCAG 2.1.1)
        tabIndex={0}
        aria-label={t("chat.lines")}
        onScroll={({ currentTarget: it }) => {
          follows.current = it.scrollHeight - it.scrollTop - it.clientHeight < NEAR_END_PX;
        }}
      >
        {lines.length === 0 && pending.length === 0 && <li class="chat-empty muted">{t("chat.empty")}</li>}
        {lines.map((line) => (
          <ChatLine key={line.n} room={room} line={line} mine={line.by.id === room.me.value} />
        ))}
        {pending.map((one) => (
          <Pending key={one.line} room={room} one={one} />
        ))}
      </ol>
      {closed === null ? <ChatForm room={room} /> : <p class="chat-closed muted">{closed}</p>}
    </section>
  );
}

function ChatLine({ room, line, mine }: { room: RoomConnection; line: Line; mine: boolean }) {
  return (
    <li class={`chat-line ${mine ? "is-mine" : ""}`} data-line={line.n}>
      <p class="chat-by">
        <strong>{mine ? t("chat.me") : nameOf(line.by)}</strong>
        <time class="muted numbers" dateTime={line.at}>
          {clockTime(Date.parse(line.at))}
        </time>
        {mine && (
          <span class="chat-mark muted" data-mark="confirmed">
            {t("chat.confirmed")}
          </span>
        )}
      </p>
      {line.text !== "" && <p class="chat-text">{line.text}</p>}
      {line.file !== null && <FileCard room={room} file={line.file} />}
    </li>
  );
}

function Pending({ room, one }: { room: RoomConnection; one: PendingLine }) {
  const { file } = one;
  return (
    <li class="chat-line is-mine is-pending" data-pending={one.state}>
      <p class="chat-by">
        <strong>{t("chat.me")}</strong>
        <span class="chat-mark" data-mark={one.state}>
          {one.state === "waits" ? t("chat.waits") : one.state === "sending" ? t("chat.sending") : t("chat.refused")}
        </span>
      </p>
      {one.text !== "" && <p class="chat-text">{one.text}</p>}
      {file !== null && (
        <p class="chat-file-name">
          {file.name} <span class="muted numbers">{sizeWords(file.bytes, decimal)}</span>
        </p>
      )}
      {file !== null && one.state === "sending" && (
        <progress value={file.sent} max={Math.max(file.bytes, 1)} aria-label={t("chat.upload", { name: file.name })} />
      )}
      {one.state === "refused" && (
        <>
          <p class="chat-fault" role="alert">
            {errorSentence(one.code ?? "internal_error")}
          </p>
          <p class="chat-actions">
            <button type="button" class="button" onClick={() => room.outbox.again(one.line)}>
              {t("chat.again")}
            </button>
            <button type="button" class="button" onClick={() => room.outbox.drop(one.line)}>
              {t("chat.drop")}
            </button>
          </p>
        </>
      )}
    </li>
  );
}

function ChatForm({ room }: { room: RoomConnection }) {
  const text = useSignal("");
  const field = useRef<HTMLTextAreaElement>(null);
  const send = () => {
    // What is not taken yet stays in the field.
    if (text.value.trim() === "" || !room.say(text.value)) return;
    text.value = "";
    field.current?.focus();
  };
  const share = (input: HTMLInputElement) => {
    for (const file of input.files ?? []) void room.sendFile(file);
    input.value = ""; // The same file may be chosen once more.
  };
  return (
    <form
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
        <FileButton icon="clip" words={t("chat.attach")} multiple onFiles={share} />
        <FileButton icon="photo" words={t("chat.photo")} accept="image/*" capture="environment" onFiles={share} />
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
  accept?: string;
  capture?: "environment";
  multiple?: boolean;
  onFiles: (input: HTMLInputElement) => void;
}) {
  const { capture } = props;
  return (
    <label class="file-button" title={props.words}>
      <Icon name={props.icon} size={22} />
      <span class="visually-hidden">{props.words}</span>
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

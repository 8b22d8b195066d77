/** The chat of a room: what was said, what is not confirmed yet, files and photos. Text is text, never markup. */
import { useEffect, useRef } from "preact/hooks";
import { errorSentence, t } from "../i18n";
import { clockTime, decimal } from "../i18n/numbers";
import { Icon } from "../parts/Icon";
import type { Line } from "../protocol/people";
import { ChatForm } from "./ChatForm";
import type { RoomConnection } from "./connection";
import { FileCard } from "./FileCard";
import type { PendingLine } from "./outbox";
import { nameOf, sizeWords } from "./words";

/** So near the end counts as reading along. */
const NEAR_END_PX = 80;

interface ChatPanelProps {
  readonly room: RoomConnection;
  /** Why nothing can be said here; null when it can. */
  readonly closed?: string | null;
  /** For somebody who does this rarely: buttons with words, nothing of hashes. */
  readonly guest?: boolean;
}

export function ChatPanel({ room, closed = null, guest = false }: ChatPanelProps) {
  const list = useRef<HTMLOListElement>(null);
  const follows = useRef(true);
  const lines = room.lines.value;
  const pending = room.pending.value;
  const follow = () => {
    if (follows.current && list.current !== null) list.current.scrollTop = list.current.scrollHeight;
  };
  useEffect(follow, [lines.length, pending.length]);
  return (
    <section class="chat" aria-label={t(guest ? "chat.lines" : "chat.title")}>
      <ol
        class="chat-lines"
        ref={list}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a list that scrolls must be reachable by keys (WCAG 2.1.1)
        tabIndex={0}
        aria-label={t("chat.lines")}
        // A picture has its height only when it is there.
        onLoadCapture={follow}
        onScroll={({ currentTarget: it }) => {
          follows.current = it.scrollHeight - it.scrollTop - it.clientHeight < NEAR_END_PX;
        }}
      >
        {lines.length === 0 && pending.length === 0 && <li class="chat-empty muted">{t("chat.empty")}</li>}
        {lines.map((line) => (
          <ChatLine key={line.n} room={room} line={line} mine={line.by.id === room.me.value} guest={guest} />
        ))}
        {pending.map((one) => (
          <Pending key={one.line} room={room} one={one} />
        ))}
      </ol>
      {closed === null ? (
        <ChatForm
          room={room}
          guest={guest}
          onShared={() => {
            follows.current = true;
            list.current?.focus();
            follow();
          }}
        />
      ) : (
        <p class="chat-closed muted">{closed}</p>
      )}
    </section>
  );
}

function ChatLine(props: { room: RoomConnection; line: Line; mine: boolean; guest: boolean }) {
  const { room, line, mine, guest } = props;
  return (
    <li class={`chat-line ${mine ? "is-mine" : ""}`} data-line={line.n}>
      <p class="chat-by">
        <strong>{mine ? t("chat.me") : nameOf(line.by)}</strong>
        <time class="muted numbers" dateTime={line.at}>
          {clockTime(Date.parse(line.at))}
        </time>
        {mine && (
          <span class={`chat-mark ${guest ? "" : "muted"}`} data-mark="confirmed">
            {guest && <Icon name="check" size={20} />}
            {t(guest ? "chat.sent" : "chat.confirmed")}
          </span>
        )}
      </p>
      {line.text !== "" && <p class="chat-text">{line.text}</p>}
      {line.file !== null && <FileCard room={room} file={line.file} hash={!guest} />}
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

/** A fresh invitation: its words in both languages, to copy, print, save or send. The link is shown this once. */
import { useSignal } from "@preact/signals";
import { useEffect, useMemo, useRef } from "preact/hooks";
import type { Invitation } from "../api/staff";
import type { ConsultationInfo } from "../api/types";
import { errorSentence, t } from "../i18n";
import { Icon } from "../parts/Icon";
import { roleWords } from "../room/words";
import { copy } from "./clipboard";
import { printSheet } from "./print";

const LANGUAGES = ["bg", "en"] as const;
const NAMES = { bg: "Български", en: "English" } as const;

export function InvitationWords(props: {
  consultation: ConsultationInfo;
  invitation: Invitation;
  onAnother: () => void;
}) {
  const { invitation } = props;
  const shown = useSignal<"bg" | "en">(invitation.ticket.language);
  const told = useSignal("");
  const heading = useRef<HTMLHeadingElement>(null);
  const qr = useMemo(() => URL.createObjectURL(new Blob([invitation.qr], { type: "image/svg+xml" })), [invitation.qr]);
  useEffect(() => () => URL.revokeObjectURL(qr), [qr]);
  useEffect(() => heading.current?.focus(), []);
  const copied = async (text: string, said: string) => {
    told.value = (await copy(text)) ? said : t("invite.not_copied");
  };
  const turn = (event: KeyboardEvent) => {
    if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
    shown.value = shown.value === "bg" ? "en" : "bg";
    document.getElementById(`invite-tab-${shown.value}`)?.focus();
  };
  const { mail } = invitation;
  return (
    <section class="invitation" aria-labelledby="invitation-title">
      <h3 id="invitation-title" ref={heading} tabIndex={-1}>
        {t("invite.ready", { role: roleWords(invitation.ticket.role) })}
      </h3>
      <p class="invite-once">
        <Icon name="warning" size={20} />
        {t("invite.once")}
      </p>
      {mail !== null && (
        <p class={mail.sent ? "mail-sent" : "field-fault"} role="status">
          {mail.sent
            ? t("invite.mail_sent")
            : `${t("invite.mail_not_sent")} ${errorSentence(mail.code ?? "internal_error")}`}
        </p>
      )}
      <div class="invite-body">
        <div class="invite-words">
          <div class="words-tabs" role="tablist" aria-label={t("invite.words")} onKeyDown={turn}>
            {LANGUAGES.map((one) => (
              <button
                key={one}
                type="button"
                role="tab"
                id={`invite-tab-${one}`}
                lang={one}
                aria-selected={shown.value === one}
                aria-controls="invite-panel"
                tabIndex={shown.value === one ? 0 : -1}
                onClick={() => {
                  shown.value = one;
                }}
              >
                {NAMES[one]}
              </button>
            ))}
          </div>
          <div
            class="words"
            role="tabpanel"
            id="invite-panel"
            aria-labelledby={`invite-tab-${shown.value}`}
            lang={shown.value}
            // biome-ignore lint/a11y/noNoninteractiveTabindex: a text that scrolls must be reachable by keys (WCAG 2.1.1)
            tabIndex={0}
            data-words={shown.value}
          >
            {invitation.words[shown.value]}
          </div>
        </div>
        <img class="invite-qr" src={qr} alt={t("invite.qr")} width="180" height="180" />
      </div>
      <p class="invite-link">
        <a href={invitation.link} target="_blank" rel="noopener" data-link>
          {invitation.link}
        </a>
      </p>
      <div class="invite-actions">
        <button
          type="button"
          class="button primary"
          onClick={() => void copied(invitation.words[shown.value], t("invite.words_copied"))}
        >
          <Icon name="copy" size={20} />
          {t("invite.copy_words")}
        </button>
        <button type="button" class="button" onClick={() => void copied(invitation.link, t("invite.link_copied"))}>
          <Icon name="copy" size={20} />
          {t("invite.copy_link")}
        </button>
        <button
          type="button"
          class="button"
          onClick={() => printSheet(props.consultation, invitation, shown.value, qr)}
        >
          <Icon name="print" size={20} />
          {t("invite.print")}
        </button>
        <button type="button" class="button" onClick={() => saveCalendar(invitation.calendar)}>
          <Icon name="calendar" size={20} />
          {t("invite.calendar")}
        </button>
        <button type="button" class="button" onClick={props.onAnother}>
          <Icon name="plus" size={20} />
          {t("invite.another")}
        </button>
      </div>
      <p class="invite-told" role="status">
        {told.value}
      </p>
    </section>
  );
}

function saveCalendar(text: string): void {
  const address = URL.createObjectURL(new Blob([text], { type: "text/calendar" }));
  const link = document.createElement("a");
  link.href = address;
  link.download = "visit.ics";
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

/** The note of the visit: written and signed by whoever it is assigned to, read by a second clinician. */
import { useSignal } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";
import type { NoteVersion } from "../api/staff";
import type { ConsultationInfo } from "../api/types";
import { errorSentence, t } from "../i18n";
import { clockTime, day } from "../i18n/numbers";
import { account } from "../parts/account";
import { Dialog } from "../parts/Dialog";
import { Field } from "../parts/Field";
import { ErrorNote } from "../parts/Shell";
import { Note } from "./note";

/** The server takes no more. */
const TEXT_MOST = 20_000;

export function NotePanel({ info, onSigned }: { info: ConsultationInfo; onSigned: () => void }) {
  const note = useMemo(() => new Note(info.id), [info.id]);
  useEffect(() => {
    void note.load();
    const leaving = (event: BeforeUnloadEvent) => {
      if (note.saving.value === "saved") return;
      void note.flush();
      event.preventDefault();
    };
    addEventListener("beforeunload", leaving);
    return () => {
      removeEventListener("beforeunload", leaving);
      note.close();
    };
  }, [note]);
  const amending = useSignal(false);
  const mine = info.clinician?.id === account.value?.id;
  const latest = note.latest.value;
  const fault = note.fault.value;
  return (
    <section class="visit-note" aria-labelledby="note-title">
      <h2 id="note-title">{t("note.title")}</h2>
      {fault !== null && <ErrorNote sentence={errorSentence(fault.code, fault.params)} />}
      {!note.loaded.value && fault === null && (
        <div class="skeleton is-small" role="status">
          <span class="visually-hidden">{t("shell.connecting")}</span>
          <div />
        </div>
      )}
      {note.loaded.value && latest === null && mine && <Draft note={note} state={info.state} onSigned={onSigned} />}
      {note.loaded.value && latest === null && !mine && <p class="muted">{t("note.not_signed")}</p>}
      {latest !== null && !amending.value && (
        <>
          <Signed version={latest} />
          {mine && (
            <button
              type="button"
              class="button"
              onClick={() => {
                amending.value = true;
              }}
            >
              {t("note.amend")}
            </button>
          )}
        </>
      )}
      {latest !== null && amending.value && (
        <Amend
          note={note}
          text={latest.text}
          onDone={() => {
            amending.value = false;
            onSigned();
          }}
          onBack={() => {
            amending.value = false;
          }}
        />
      )}
      {note.versions.value.length > 1 && (
        <details class="versions">
          <summary>{t("note.versions", { count: note.versions.value.length - 1 })}</summary>
          <ol>
            {note.versions.value
              .slice(0, -1)
              .reverse()
              .map((version) => (
                <li key={version.version}>
                  <Signed version={version} />
                </li>
              ))}
          </ol>
        </details>
      )}
    </section>
  );
}

function Draft(props: { note: Note; state: string; onSigned: () => void }) {
  const { note } = props;
  const asking = useSignal(false);
  const busy = useSignal(false);
  const ended = props.state === "ended";
  const empty = note.text.value.trim() === "";
  const sign = async () => {
    busy.value = true;
    const signed = await note.sign();
    busy.value = false;
    asking.value = false;
    if (signed) props.onSigned();
  };
  return (
    <>
      <label class="note-label" for="note-text">
        {t("note.draft")}
      </label>
      <textarea
        id="note-text"
        class="note-text"
        rows={10}
        maxLength={TEXT_MOST}
        value={note.text.value}
        onInput={(event) => note.write(event.currentTarget.value)}
        onBlur={() => void note.flush()}
      />
      <div class="note-foot">
        <SavedState note={note} />
        <button
          type="button"
          class="button primary"
          disabled={!ended || empty}
          aria-describedby="note-when"
          onClick={() => {
            asking.value = true;
          }}
        >
          {t("note.sign")}
        </button>
      </div>
      <p class="muted" id="note-when">
        {ended ? t("note.sign_means") : t("note.sign_when_ended")}
      </p>
      {asking.value && (
        <Dialog
          title={t("note.sign_title")}
          onClose={() => {
            asking.value = false;
          }}
        >
          <p>{t("note.sign_text")}</p>
          <div class="dialog-actions">
            <button
              type="button"
              class="button"
              onClick={() => {
                asking.value = false;
              }}
            >
              {t("dialog.back")}
            </button>
            <button type="button" class="button primary" disabled={busy.value} onClick={() => void sign()}>
              {t("note.sign_yes")}
            </button>
          </div>
        </Dialog>
      )}
    </>
  );
}

function SavedState({ note }: { note: Note }) {
  const saving = note.saving.value;
  const at = note.savedAt.value;
  return (
    <p class={`note-saved is-${saving}`} role="status" data-saving={saving}>
      {saving === "saved" && at !== null && t("note.saved", { time: clockTime(at) })}
      {saving === "saving" && t("note.saving")}
      {saving === "unsaved" && t("note.unsaved")}
      {saving === "failed" && t("note.failed")}
    </p>
  );
}

function Signed({ version }: { version: NoteVersion }) {
  return (
    <article class="signed" data-version={version.version}>
      <p class="muted numbers">
        {t("note.signed_by", {
          version: version.version,
          name: version.by?.name ?? "",
          time: `${day(Date.parse(version.at))}, ${clockTime(Date.parse(version.at))}`,
        })}
      </p>
      {version.reason !== null && <p class="note-reason">{t("note.reason_was", { reason: version.reason })}</p>}
      <div class="signed-text">{version.text}</div>
    </article>
  );
}

function Amend(props: { note: Note; text: string; onDone: () => void; onBack: () => void }) {
  const text = useSignal(props.text);
  const reason = useSignal("");
  const busy = useSignal(false);
  const unchanged = text.value.trim() === props.text.trim();
  const amend = async () => {
    busy.value = true;
    const done = await props.note.amend(text.value, reason.value.trim());
    busy.value = false;
    if (done) props.onDone();
  };
  return (
    <form
      class="form"
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        void amend();
      }}
    >
      <label class="note-label" for="note-amended">
        {t("note.amended_text")}
      </label>
      <textarea
        id="note-amended"
        class="note-text"
        rows={10}
        maxLength={TEXT_MOST}
        value={text.value}
        onInput={(event) => {
          text.value = event.currentTarget.value;
        }}
      />
      <Field
        label={t("note.reason")}
        value={reason.value}
        required
        onInput={(value) => {
          reason.value = value;
        }}
      />
      <div class="dialog-actions">
        <button type="button" class="button" onClick={props.onBack}>
          {t("dialog.back")}
        </button>
        <button
          type="submit"
          class="button primary"
          disabled={busy.value || unchanged || text.value.trim() === "" || reason.value.trim() === ""}
        >
          {t("note.amend_sign")}
        </button>
      </div>
    </form>
  );
}

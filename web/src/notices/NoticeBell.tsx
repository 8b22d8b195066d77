/** The bell of the top bar: how many wait, who, and what to do; and how this browser tells of them. */
import { useSignal } from "@preact/signals";
import { ApiError, api } from "../api/client";
import { errorSentence, t } from "../i18n";
import { account, noticeSignedOut } from "../parts/account";
import { Icon } from "../parts/Icon";
import { usePopover } from "../parts/popover";
import { sinceWords } from "../parts/when";
import { addressOf, go, place } from "../router";
import { connected, latest, putAside, spoken, waiting } from "./notices";
import { mute, muted, soundBlocked, wake } from "./sound";
import { keyOf, type Waiting } from "./waiting";
import { sentenceOf } from "./words";

export function NoticeBell() {
  const { open, frame, toggle } = usePopover();
  const who = account.value;
  if (!who?.roles.some((role) => role === "clinician" || role === "operator")) return null;
  const count = waiting.value.length;
  const shut = () => {
    open.value = false;
  };
  return (
    <div class="bell" ref={frame}>
      <button
        type="button"
        class={`quiet-button ${count > 0 ? "has-news" : ""}`}
        aria-expanded={open.value}
        aria-controls="bell-list"
        onClick={() => {
          toggle();
          void wake();
        }}
      >
        <Icon name="bell" />
        {count > 0 && (
          <span class="bell-count" aria-hidden="true">
            {count}
          </span>
        )}
        <span class="visually-hidden">{t("notices.bell", { count })}</span>
      </button>
      <p class="visually-hidden" role="status" aria-live="polite">
        {spoken.value}
      </p>
      {open.value && (
        <section class="bell-list" id="bell-list" aria-label={t("notices.title")}>
          <h2>{t("notices.title")}</h2>
          {!connected.value && <p class="muted">{t("notices.reconnecting")}</p>}
          {count === 0 && connected.value && <p class="muted">{t("notices.nobody")}</p>}
          <ul>
            {waiting.value.map((one) => (
              <li key={keyOf(one)}>
                <Row one={one} onDone={shut} />
              </li>
            ))}
          </ul>
          <HowToTell />
        </section>
      )}
      {!open.value && latest.value !== null && place.value.page !== "worklist" && <Toast one={latest.value} />}
      {!open.value && count > 0 && soundBlocked.value && !muted.value && (
        <button type="button" class="bell-sound" onClick={() => void wake()}>
          <Icon name="sound" size={18} />
          {t("notices.sound_blocked")}
        </button>
      )}
    </div>
  );
}

/** Somebody waits: said over the page, without taking the focus, until it is opened or put aside. */
function Toast({ one }: { one: Waiting }) {
  return (
    <div class="bell-toast">
      <Row one={one} onDone={putAside} />
      <button type="button" class="quiet-button" onClick={putAside} title={t("notices.put_aside")}>
        <Icon name="close" size={18} />
        <span class="visually-hidden">{t("notices.put_aside")}</span>
      </button>
    </div>
  );
}

function Row({ one, onDone }: { one: Waiting; onDone: () => void }) {
  const busy = useSignal(false);
  const fault = useSignal<ApiError | null>(null);
  const clinician = account.value?.roles.includes("clinician") === true;
  const admits = clinician && one.kind === "visit";
  const act = async () => {
    busy.value = true;
    fault.value = null;
    try {
      if (admits) await api.admit(one.consultation);
      go({ page: clinician ? "live" : "desk", id: one.consultation });
      onDone();
    } catch (error) {
      if (!noticeSignedOut(error) && error instanceof ApiError) fault.value = error;
    }
    busy.value = false;
  };
  return (
    <div class="bell-row">
      <div>
        <p class="bell-who">{sentenceOf(one)}</p>
        <p class="muted numbers">
          {sinceWords(one.since)} · {one.station ?? t("notices.by_link")}
        </p>
        {fault.value !== null && (
          <p class="field-fault" role="alert">
            {errorSentence(fault.value.code, fault.value.params)}
          </p>
        )}
      </div>
      <button type="button" class="button primary" disabled={busy.value} onClick={() => void act()}>
        {admits ? t("notices.admit") : t("notices.open")}
        <span class="visually-hidden"> {one.patient}</span>
      </button>
    </div>
  );
}

/** Sound and the browser's notifications for this browser. */
function HowToTell() {
  const permission = useSignal(typeof Notification === "undefined" ? "unavailable" : Notification.permission);
  const ask = async () => {
    permission.value = await Notification.requestPermission();
  };
  return (
    <div class="bell-how">
      <button
        type="button"
        class="button"
        aria-pressed={!muted.value}
        onClick={() => {
          mute(!muted.value);
          void wake();
        }}
      >
        <Icon name="sound" size={20} />
        {muted.value ? t("notices.sound_muted") : t("notices.sound_on")}
      </button>
      {permission.value === "default" && (
        <button type="button" class="button" onClick={() => void ask()}>
          <Icon name="bell" size={20} />
          {t("notices.allow")}
        </button>
      )}
      {permission.value === "granted" && <p class="muted">{t("notices.allowed")}</p>}
      {permission.value === "denied" && <p class="muted">{t("notices.denied")}</p>}
      <p class="muted">{t("notices.this_browser")}</p>
      <a href={addressOf({ page: "worklist" })}>{t("nav.worklist")}</a>
    </div>
  );
}

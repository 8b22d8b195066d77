/** Who invites and when; one big button; the name if one likes. */
import { useSignal } from "@preact/signals";
import { anyFails, summaryOf } from "../check/outcomes";
import { t } from "../i18n";
import type { Key } from "../i18n/keys";
import { Icon } from "../parts/Icon";
import { now } from "../parts/ticking";
import type { GuestRole } from "../protocol/people";
import { Emergency, Heading, Phone } from "./GuestShell";
import { isEarly } from "./stage";
import { NAME_MOST, type Visit } from "./visit";
import { untilWords, whenWords } from "./when";

/** A patient knows what it is invited as. */
const ROLE_WORDS: Record<Exclude<GuestRole, "patient">, Key> = {
  relative: "join.as_relative",
  interpreter: "join.as_interpreter",
  second_clinician: "join.as_second_clinician",
};

export function Invitation({ visit }: { visit: Visit }) {
  now.value;
  const name = useSignal("");
  const shown = visit.ticket.value;
  if (shown === null) return null;
  const nowMs = visit.time.now();
  const early = isEarly(shown.state, shown.arrives_from, nowMs);
  const opensIn = early && shown.arrives_from !== null && nowMs !== null ? Date.parse(shown.arrives_from) - nowMs : 0;
  return (
    <section class="column" data-stage="invitation" data-early={early}>
      <Heading>
        {shown.clinician === null
          ? t("join.title", { organisation: shown.organisation.name })
          : t("join.title_clinician", { clinician: shown.clinician })}
      </Heading>
      {shown.clinician !== null && <p class="lead">{shown.organisation.name}</p>}
      {shown.role !== "patient" && <p class="muted">{t(ROLE_WORDS[shown.role])}</p>}
      {shown.scheduled_at !== null && (
        <p class="when">
          <span>{t("join.when")}</span>
          <strong class="numbers">{whenWords(Date.parse(shown.scheduled_at), nowMs)}</strong>
        </p>
      )}
      <div role="status">{early && <p class="lead">{t("join.early")}</p>}</div>
      {early && (
        <p class="countdown numbers" role="timer" aria-live="off">
          {untilWords(opensIn)}
        </p>
      )}
      <form
        class="join-form"
        onSubmit={(event) => {
          event.preventDefault();
          if (!early) void visit.join(name.value);
        }}
      >
        <Checked visit={visit} />
        {!early && (
          <>
            <label class="field">
              <span>{t("join.name")}</span>
              <input
                name="name"
                autocomplete="name"
                maxLength={NAME_MOST}
                value={name.value}
                onInput={(event) => {
                  name.value = event.currentTarget.value;
                }}
              />
            </label>
            <button type="submit" class="big primary is-main" data-command="join">
              {t("join.join")}
            </button>
          </>
        )}
        <button
          type="button"
          class={`big ${early && visit.checked.value === null ? "primary" : ""}`}
          data-command="check"
          onClick={() => {
            visit.checking.value = true;
          }}
        >
          {t(visit.checked.value === null ? "join.try_first" : "join.try_again")}
        </button>
      </form>
      {early && <p class="muted">{t("join.keep_link")}</p>}
      <Phone number={shown.organisation.phone} words={t("visit.call_us")} />
      <Emergency />
      <p class="small-words muted">{t("join.not_a_device")}</p>
    </section>
  );
}

/** What the check on this page came to; nothing before one. */
function Checked({ visit }: { visit: Visit }) {
  const outcomes = visit.checked.value;
  if (outcomes === null) return null;
  const works = !anyFails(outcomes);
  return (
    <p class={`checked ${works ? "is-good" : ""}`} data-checked={works ? "works" : "partly"}>
      <Icon name={works ? "check" : "warning"} />
      <span>
        <strong>{t("check.done")}</strong> {t(summaryOf(outcomes))}
      </span>
    </p>
  );
}

/** Marks that say what a thing is: where a stream comes from, that a number is ours, how a consultation stands. */
import { t } from "../i18n";
import type { Key } from "../i18n/keys";
import type { ConsultationState, Origin } from "../protocol/messages";

/** Nothing for a measured stream: it is the rule. */
export function OriginBadge({ origin }: { origin: Origin | undefined }) {
  if (origin === undefined || origin === "measured") return null;
  return (
    <strong class={`badge is-${origin}`}>
      {origin === "recording" ? t("origin.recording") : t("origin.simulated")}
    </strong>
  );
}

export function DerivedBadge() {
  return <span class="badge is-derived">{t("numeric.derived")}</span>;
}

const STATE_WORDS: Record<ConsultationState, Key> = {
  scheduled: "state.scheduled",
  waiting: "state.waiting",
  live: "state.live",
  interrupted: "state.interrupted",
  ended: "state.ended",
  signed: "state.signed",
  amended: "state.amended",
  cancelled: "state.cancelled",
  no_show: "state.no_show",
};

export function StateBadge({ state }: { state: ConsultationState }) {
  return <span class={`state is-${state}`}>{t(STATE_WORDS[state])}</span>;
}

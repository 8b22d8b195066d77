/** The link leads nowhere now: what it is, what to do, whom to call. */
import { errorSentence, t } from "../i18n";
import type { Key } from "../i18n/keys";
import { helpsAgain } from "./faults";
import { Emergency, Heading, Phone } from "./GuestShell";
import type { Visit } from "./visit";

/** Title and what to do, by the server's code. */
const FAULTS: Readonly<Record<string, readonly [Key, Key]>> = {
  ticket_unknown: ["join.unknown_title", "join.unknown_do"],
  ticket_expired: ["join.expired_title", "join.expired_do"],
  ticket_revoked: ["join.revoked_title", "join.revoked_do"],
  visit_over: ["join.over_title", "join.over_do"],
  seats_full: ["join.full_title", "join.full_do"],
  seat_refused: ["join.refused_title", "join.refused_do"],
};

/** A visit can be over in more than one way. */
const OVER_BY_STATE: Readonly<Record<string, readonly [Key, Key]>> = {
  cancelled: ["join.cancelled_title", "join.cancelled_do"],
  no_show: ["join.missed_title", "join.missed_do"],
};

export function FaultPage({ visit }: { visit: Visit }) {
  const fault = visit.fault.value;
  if (fault === null) return null;
  const byState = fault.code === "visit_over" ? OVER_BY_STATE[String(fault.params.state ?? "")] : undefined;
  const words = byState ?? FAULTS[fault.code];
  const phone = visit.phone.value ?? (typeof fault.params.phone === "string" ? fault.params.phone : undefined);
  return (
    <section class="column is-end" data-stage="fault" data-fault={fault.code}>
      <Heading>{words === undefined ? t("join.fault_title") : t(words[0])}</Heading>
      <p class="lead" role="alert">
        {words === undefined ? errorSentence(fault.code, fault.params) : t(words[1])}
      </p>
      <Phone number={phone} words={t("visit.call_us")} />
      {helpsAgain(fault.code) && (
        <button type="button" class="big" onClick={() => location.reload()}>
          {t("check.again")}
        </button>
      )}
      <Emergency />
    </section>
  );
}

/** The visit is not here any more: it is over, one left, was sent away, or another page of one's own has it. */
import { t } from "../i18n";
import type { Key } from "../i18n/keys";
import { Emergency, Heading, Phone } from "./GuestShell";
import type { Stage } from "./stage";
import type { Visit } from "./visit";

type End = Exclude<
  Stage,
  "looking" | "joining" | "fault" | "invitation" | "checking" | "place" | "early" | "waiting" | "call"
>;

const WORDS: Record<End, readonly [Key, Key]> = {
  over: ["end.over_title", "end.over"],
  cancelled: ["join.cancelled_title", "join.cancelled_do"],
  missed: ["join.missed_title", "join.missed_do"],
  left: ["end.left_title", "end.left"],
  removed: ["end.removed_title", "end.removed"],
  refused: ["join.refused_title", "join.refused_do"],
  elsewhere: ["end.elsewhere_title", "end.elsewhere"],
};

export function Farewell({ visit, stage }: { visit: Visit; stage: End }) {
  const [title, words] = WORDS[stage];
  const patient = (visit.seat.value ?? visit.ticket.value)?.role === "patient";
  return (
    <section class="column is-end" data-stage={stage}>
      <Heading>{t(title)}</Heading>
      <p class="lead" role="status">
        {t(words)}
      </p>
      {stage === "over" && patient && <p>{t("end.over_next")}</p>}
      {stage === "elsewhere" && (
        <button
          type="button"
          class="big primary is-main"
          data-command="here"
          onClick={() => visit.room.value?.continueHere()}
        >
          {t("end.continue_here")}
        </button>
      )}
      {stage === "left" && (
        <button type="button" class="big primary is-main" data-command="back" onClick={() => void visit.join(null)}>
          {t("end.come_back")}
        </button>
      )}
      <Phone number={visit.phone.value} words={t("visit.call_us")} />
      <Emergency />
      {stage === "over" && <p>{t("end.over_close")}</p>}
    </section>
  );
}

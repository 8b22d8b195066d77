/** One waits: for what, behind how many, seen by whom; with one's own picture, the consent to read and the way out. */
import { useComputed } from "@preact/signals";
import { t } from "../i18n";
import { Icon } from "../parts/Icon";
import { now } from "../parts/ticking";
import { Consent } from "./Consent";
import { Emergency, Heading, Phone } from "./GuestShell";
import { LineLost } from "./LineLost";
import { OwnDevices } from "./OwnDevices";
import type { Visit } from "./visit";
import { untilWords, whenWords } from "./when";

export function WaitingRoom({ visit, early }: { visit: Visit; early: boolean }) {
  now.value;
  const seat = visit.seat.value;
  const words = useComputed(() => queueWords(visit));
  if (seat === null) return null;
  const nowMs = visit.time.now();
  const opens = seat.arrives_from === null ? null : Date.parse(seat.arrives_from);
  return (
    <section class="column is-waiting" data-stage={early ? "early" : "waiting"} data-seat={seat.seat_state}>
      <LineLost visit={visit} />
      <div class="waiting-side">
        <div class="waiting-head">
          <Heading>{early ? t("wait.early_title") : t("wait.title")}</Heading>
          <p class="lead queue" role="status" data-position={seat.position ?? ""}>
            {early ? t("wait.early") : words.value}
          </p>
          {seat.scheduled_at !== null && (
            <p class="when">
              <span>{t("join.when")}</span>
              <strong class="numbers">{whenWords(Date.parse(seat.scheduled_at), nowMs)}</strong>
            </p>
          )}
          {early && opens !== null && nowMs !== null && (
            <p class="countdown numbers" role="timer" aria-live="off">
              {untilWords(opens - nowMs)}
            </p>
          )}
          <p class="muted">{t("wait.by_itself")}</p>
        </div>
        <Consent visit={visit} />
      </div>
      <div class="waiting-side">
        <OwnDevices visit={visit} />
        <div class="waiting-foot">
          <Phone number={seat.organisation.phone} words={t("visit.call_us")} />
          <Emergency />
          <button
            type="button"
            class="big is-quiet"
            onClick={() => {
              visit.checking.value = true;
            }}
          >
            {t(visit.checked.value === null ? "join.try_first" : "join.try_again")}
          </button>
          <button type="button" class="big is-leave" data-command="leave" onClick={() => void visit.leave()}>
            <Icon name="end" />
            {t("visit.leave")}
          </button>
        </div>
      </div>
    </section>
  );
}

/** Who will come and how many are before; for somebody at the door of a call, that it runs already. */
function queueWords(visit: Visit): string {
  const seat = visit.seat.value;
  if (seat === null) return "";
  const who = seat.clinician ?? t("wait.a_clinician");
  if (seat.state === "live" || seat.state === "interrupted") return t("wait.at_the_door", { who });
  if (seat.seat_state === "admitted") return t("wait.let_in", { who });
  if (seat.position === null) return t("wait.who", { who });
  return seat.position === 0 ? t("wait.next", { who }) : t("wait.position", { who, count: seat.position });
}

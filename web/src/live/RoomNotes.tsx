/** Over the waves or the picture: whose line is missing, that it goes on by telephone, what can be done now. */
import type { ApiError } from "../api/client";
import { errorSentence, t } from "../i18n";
import type { Key } from "../i18n/keys";
import { clockTime } from "../i18n/numbers";
import { Icon } from "../parts/Icon";
import { ErrorNote } from "../parts/Shell";
import { StationFacts } from "../parts/StationFacts";
import type { ErrorBody } from "../protocol/messages";
import { addressOf } from "../router";
import type { LiveConsultation } from "./consultation";
import { LinkBanner } from "./LinkBanner";
import type { LinkState } from "./linkstate";
import { missingSides, type Side, type Standing } from "./standing";

const MISSING: Record<Side, Key> = { patient: "live.missing_patient", clinician: "live.missing_clinician" };

interface RoomNotesProps {
  readonly live: LiveConsultation;
  readonly link: LinkState;
  readonly standing: Standing;
  readonly refusal: ErrorBody | ApiError | null;
  readonly over: boolean;
  readonly onAdmit: () => void;
  /** Where the patient's telephone number stands. */
  readonly onPhone: () => void;
}

export function RoomNotes({ live, link, standing, refusal, over, onAdmit, onPhone }: RoomNotesProps) {
  const info = live.info.value;
  const state = info?.state;
  const mayAdmit = state === "waiting" && (standing === "free" || standing === "clinician");
  return (
    <div class="live-notes">
      {(info === null || info.station !== null) && <LinkBanner live={live} link={link} />}
      {info?.station === null && <RoomLine live={live} />}
      <StationFacts status={live.room.station.value.status} />
      {state === "interrupted" && <Interrupted live={live} onPhone={standing === "clinician" ? onPhone : null} />}
      {info?.phone_since != null && !over && (
        <p class="link-banner" role="status" data-note="phone">
          <Icon name="phone" size={20} />
          <span>{t("phone.since", { time: clockTime(Date.parse(info.phone_since)) })}</span>
        </p>
      )}
      {refusal !== null && <ErrorNote sentence={errorSentence(refusal.code, refusal.params)} />}
      {state === "scheduled" && (
        <p class="over-note" role="status">
          {t("live.scheduled")}
        </p>
      )}
      {state === "waiting" && (
        <div class="over-note" role="status">
          <p>{standing === "other" ? t("live.waits_other") : t("live.not_admitted")}</p>
          {mayAdmit && (
            <button type="button" class="button primary" data-command="admit" onClick={onAdmit}>
              {t("worklist.open")}
            </button>
          )}
        </div>
      )}
      {(state === "live" || state === "interrupted") && standing === "other" && (
        <div class="over-note" role="status">
          <p>{t("live.handed_over")}</p>
          <a class="button primary" href={addressOf({ page: "worklist" })}>
            {t("nav.worklist")}
          </a>
        </div>
      )}
      {over && (
        <div class="over-note" role="status">
          <p>{t("live.over")}</p>
          <a class="button primary" href={addressOf({ page: "review", id: live.room.id })}>
            {t("live.to_review")}
          </a>
          <a class="button" href={addressOf({ page: "worklist" })}>
            {t("nav.worklist")}
          </a>
        </div>
      )}
    </div>
  );
}

function Interrupted({ live, onPhone }: { live: LiveConsultation; onPhone: (() => void) | null }) {
  const missing = missingSides(live.room.people.value);
  return (
    <div class="over-note" role="status" data-note="interrupted">
      <Icon name="warning" size={20} />
      <p>{missing.length === 0 ? t("live.coming_back") : missing.map((side) => t(MISSING[side])).join(" ")}</p>
      {onPhone !== null && missing.includes("patient") && (
        <button type="button" class="button" data-command="to-phone" onClick={onPhone}>
          <Icon name="phone" size={20} />
          {t("live.to_phone")}
        </button>
      )}
    </div>
  );
}

/** Without a station only the room's own line can be lost. */
function RoomLine({ live }: { live: LiveConsultation }) {
  const lost = live.room.socketState.value !== "open" && live.room.lostAtMs.value !== null;
  return (
    <div role="status" aria-live="polite">
      {lost && (
        <p class="link-banner is-recovering">
          <Icon name="warning" size={20} />
          <span>{t("live.room_lost")}</span>
        </p>
      )}
    </div>
  );
}

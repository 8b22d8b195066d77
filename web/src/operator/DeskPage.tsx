/** One visit at the operator's desk: how it stands, who is there, where the patient is, what to do, and the chat. */
import { useSignal } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";
import { staff } from "../api/staff";
import type { ConsultationInfo } from "../api/types";
import { errorSentence, t } from "../i18n";
import { duration } from "../i18n/numbers";
import { InviteDialog } from "../invite/InviteDialog";
import { HandOverDialog } from "../live/ColleagueDialogs";
import { signInEnded } from "../parts/account";
import { useAsking } from "../parts/asking";
import { StateBadge } from "../parts/badges";
import { isOperator } from "../parts/clinic";
import { Icon } from "../parts/Icon";
import { bornWords, patientName } from "../parts/patient";
import { ErrorNote, Shell } from "../parts/Shell";
import { now } from "../parts/ticking";
import { whenWords } from "../parts/when";
import { ChatPanel } from "../room/ChatPanel";
import { RoomConnection } from "../room/connection";
import { ElsewhereNote } from "../room/ElsewhereNote";
import { PeoplePanel } from "../room/PeoplePanel";
import { addressOf } from "../router";
import { MoveDialog } from "../worklist/MoveDialog";
import { type Sure, SureDialog } from "../worklist/SureDialog";
import { PlaceForm } from "./PlaceForm";

type Asked = Sure | "invite" | "move" | "handover" | null;

const UNDER_WAY = ["live", "interrupted"];
const OPEN = ["scheduled", "waiting", "live", "interrupted"];

export function DeskPage({ id }: { id: string }) {
  const room = useMemo(() => new RoomConnection(id, null), [id]);
  useEffect(() => () => room.close(), [room]);
  const asked = useSignal<Asked>(null);
  const refusal = room.socketState.value === "refused" ? room.refusal.value : null;
  useEffect(() => {
    if (refusal?.code === "not_signed_in") signInEnded();
  }, [refusal]);
  const info = room.info.value;
  const shut = () => {
    asked.value = null;
  };
  return (
    <Shell strip={info === null ? null : <DeskStrip info={info} />}>
      <div class="page operator desk">
        <h1 class="visually-hidden">{t("desk.title")}</h1>
        {refusal !== null && <ErrorNote sentence={errorSentence(refusal.code, refusal.params)} />}
        <ElsewhereNote room={room} />
        {info === null && refusal === null && (
          <div class="skeleton" role="status">
            <span class="visually-hidden">{t("shell.connecting")}</span>
            <div />
            <div />
          </div>
        )}
        {info !== null && (
          <div class="desk-columns">
            <div class="desk-main">
              <Standing info={info} />
              <Doing
                info={info}
                onAsk={(what) => {
                  asked.value = what;
                }}
                onChanged={(changed) => room.learn(changed)}
              />
              <PeoplePanel room={room} decides={false} />
              <PlaceForm consultation={id} locked={!OPEN.includes(info.state)} />
            </div>
            <div class="desk-chat">
              <h2>{t("chat.title")}</h2>
              <ChatPanel room={room} closed={OPEN.includes(info.state) ? null : t("desk.over")} />
            </div>
          </div>
        )}
      </div>
      {info !== null && asked.value === "invite" && <InviteDialog consultation={info} onClose={shut} />}
      {info !== null && asked.value === "handover" && (
        <HandOverDialog
          info={info}
          byDesk
          onClose={shut}
          onDone={(changed) => {
            if (changed !== null) room.learn(changed);
            shut();
          }}
        />
      )}
      {info !== null && asked.value === "move" && <MoveDialog consultation={info} onClose={shut} />}
      {info !== null && (asked.value === "arrive" || asked.value === "miss" || asked.value === "cancel") && (
        <SureDialog what={asked.value} consultation={info} onClose={shut} />
      )}
    </Shell>
  );
}

function DeskStrip({ info }: { info: ConsultationInfo }) {
  return (
    <div class="patient-strip">
      <div class="patient-who">
        <strong>{patientName(info.patient)}</strong>
        <span class="muted">{bornWords(info.patient)}</span>
      </div>
      <div class="patient-where">
        <span>{info.station?.name ?? t("worklist.by_link")}</span>
        <span class="muted">{info.station?.place ?? ""}</span>
      </div>
      <StateBadge state={info.state} />
    </div>
  );
}

/** The state of the visit in a sentence that can be read across a room. */
function Standing({ info }: { info: ConsultationInfo }) {
  return (
    <section class={`standing is-${info.state}`} aria-labelledby="standing-title" data-state={info.state}>
      <h2 id="standing-title">{standingWords(info)}</h2>
      <p class="muted">
        {t("desk.clinician", { clinician: info.clinician?.name ?? t("worklist.anyone") })}
        {info.second_clinicians.map((one) => `, ${one.name}`).join("")}
      </p>
      {info.phone_since !== null && (
        <p class="by-phone">
          <Icon name="phone" size={20} />
          {t("desk.phone_since", { time: whenWords(info.phone_since) })}
        </p>
      )}
      {info.state === "scheduled" && info.patient_here && <p>{t("desk.patient_here")}</p>}
    </section>
  );
}

function standingWords(info: ConsultationInfo): string {
  if (info.state === "scheduled" && info.scheduled_at !== null) {
    return t("desk.scheduled", { time: whenWords(info.scheduled_at) });
  }
  if (info.state === "waiting" && info.waiting_at !== null) {
    return t("desk.waiting", { time: duration(now.value - Date.parse(info.waiting_at)) });
  }
  if (info.state === "live" && info.live_at !== null) {
    return t("desk.live", { time: duration(now.value - Date.parse(info.live_at)) });
  }
  if (info.state === "interrupted") return t("desk.interrupted");
  if (info.state === "cancelled") return t("desk.cancelled");
  if (info.state === "no_show") return t("desk.no_show");
  return t("desk.over");
}

function Doing(props: {
  info: ConsultationInfo;
  onAsk: (what: Asked) => void;
  onChanged: (info: ConsultationInfo) => void;
}) {
  const { info, onAsk } = props;
  const asking = useAsking();
  const before = info.state === "scheduled" || info.state === "waiting";
  const byPhone = info.phone_since !== null;
  const phone = async () => {
    const changed = await asking.ask(() => staff.phone(info.id, !byPhone));
    if (changed !== undefined) props.onChanged(changed);
  };
  if (!OPEN.includes(info.state)) return null;
  return (
    <section aria-label={t("desk.actions")}>
      {asking.fault.value !== null && (
        <ErrorNote sentence={errorSentence(asking.fault.value.code, asking.fault.value.params)} />
      )}
      <div class="large-grid">
        {info.state === "scheduled" && (
          <Large icon="check" words={t("worklist.arrived")} primary onPress={() => onAsk("arrive")} />
        )}
        {info.station !== null && isOperator() && (
          <a class="button large" href={addressOf({ page: "station", id: info.station.id })}>
            <Icon name="person" />
            {t("desk.who")}
          </a>
        )}
        <Large icon="invite" words={t("worklist.invite")} onPress={() => onAsk("invite")} />
        <Large icon="forward" words={t("desk.handover")} onPress={() => onAsk("handover")} />
        {UNDER_WAY.includes(info.state) && (
          <button
            type="button"
            class="button large"
            aria-pressed={byPhone}
            disabled={asking.busy.value}
            onClick={() => void phone()}
          >
            <Icon name="phone" />
            {byPhone ? t("desk.phone_off") : t("desk.phone_on")}
          </button>
        )}
        {info.state === "scheduled" && (
          <Large icon="calendar" words={t("worklist.move")} onPress={() => onAsk("move")} />
        )}
        {before && <Large icon="clock" words={t("worklist.missed")} onPress={() => onAsk("miss")} />}
        {before && <Large icon="close" words={t("worklist.cancel")} onPress={() => onAsk("cancel")} />}
      </div>
    </section>
  );
}

function Large(props: {
  icon: "check" | "invite" | "forward" | "calendar" | "clock" | "close";
  words: string;
  primary?: boolean;
  onPress: () => void;
}) {
  return (
    <button type="button" class={`button large ${props.primary ? "primary" : ""}`} onClick={props.onPress}>
      <Icon name={props.icon} />
      {props.words}
    </button>
  );
}

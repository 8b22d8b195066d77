/** Consultations as rows: who, where, since when or at what time, and what can be done. */
import { useSignal } from "@preact/signals";
import type { ConsultationInfo } from "../api/types";
import { t } from "../i18n";
import { clockTime, day } from "../i18n/numbers";
import { StateBadge } from "../parts/badges";
import { isClinician, isOperator } from "../parts/clinic";
import { Icon } from "../parts/Icon";
import { Menu } from "../parts/Menu";
import { bornWords, patientName } from "../parts/patient";
import { now } from "../parts/ticking";
import { whenWords } from "../parts/when";
import { addressOf } from "../router";
import type { Question } from "./WorkListPage";

interface RowsProps {
  readonly rows: readonly ConsultationInfo[];
  readonly onOpen: (row: ConsultationInfo) => Promise<void>;
  readonly onAsk: (question: Question) => void;
}

export function Rows(props: RowsProps) {
  return (
    <ul class="rows">
      {props.rows.map((row) => (
        <li key={row.id} class={`row is-${row.state}`} data-consultation={row.id} data-state={row.state}>
          {row.state === "scheduled" ? (
            <AppointmentTime row={row} />
          ) : (
            <span class="row-face">
              <Icon name="person" size={26} />
            </span>
          )}
          <div class="row-who">
            <strong>{patientName(row.patient)}</strong>
            <span class="muted">{bornWords(row.patient)}</span>
          </div>
          <div class="row-where">
            <span>{row.station?.name ?? t("worklist.by_link")}</span>
            <span class="muted">
              {row.station === null ? (row.clinician?.name ?? t("worklist.anyone")) : row.station.place}
            </span>
          </div>
          <div class="row-state">
            <StateBadge state={row.state} />
            <span class="muted numbers">{timeWords(row)}</span>
            {row.guests_waiting > 0 && row.state !== "waiting" && (
              <span class="row-door">{t("worklist.at_door", { count: row.guests_waiting })}</span>
            )}
          </div>
          <Actions row={row} onOpen={props.onOpen} onAsk={props.onAsk} />
        </li>
      ))}
    </ul>
  );
}

function AppointmentTime({ row }: { row: ConsultationInfo }) {
  const at = Date.parse(row.scheduled_at ?? row.created_at);
  return (
    <span class="row-time numbers">
      <strong>{clockTime(at)}</strong>
      <span class="muted">{t("when.minutes", { minutes: row.minutes })}</span>
    </span>
  );
}

const OPEN_STATES = ["waiting", "live", "interrupted"];

function Actions(props: { row: ConsultationInfo } & Omit<RowsProps, "rows">) {
  const { row, onAsk } = props;
  const busy = useSignal(false);
  const name = <span class="visually-hidden"> {patientName(row.patient)}</span>;
  const open = async () => {
    busy.value = true;
    await props.onOpen(row);
    busy.value = false;
  };
  const over = !OPEN_STATES.includes(row.state) && row.state !== "scheduled";
  if (over) {
    if (!isClinician()) return <span class="row-actions" />;
    return (
      <div class="row-actions">
        <a class="button" href={addressOf({ page: "review", id: row.id })}>
          {t("worklist.review")}
          {name}
        </a>
      </div>
    );
  }
  return (
    <div class="row-actions">
      {OPEN_STATES.includes(row.state) && (
        <button type="button" class="button primary" disabled={busy.value} onClick={() => void open()}>
          {row.state === "waiting" || !isClinician() ? t("worklist.open") : t("worklist.return")}
          {name}
        </button>
      )}
      {row.state === "scheduled" && (
        <button type="button" class="button" onClick={() => onAsk({ kind: "invite", row })}>
          <Icon name="invite" size={20} />
          {t("worklist.invite")}
          {name}
        </button>
      )}
      <Menu words={t("worklist.more", { patient: patientName(row.patient) })}>
        {(close) => <More row={row} onAsk={onAsk} close={close} />}
      </Menu>
    </div>
  );
}

function More(props: { row: ConsultationInfo; onAsk: (question: Question) => void; close: () => void }) {
  const { row } = props;
  const ask = (question: Question) => () => {
    props.close();
    props.onAsk(question);
  };
  const before = row.state === "scheduled" || row.state === "waiting";
  return (
    <>
      {isOperator() && <a href={addressOf({ page: "desk", id: row.id })}>{t("worklist.desk")}</a>}
      {row.state !== "scheduled" && (
        <button type="button" onClick={ask({ kind: "invite", row })}>
          {t("worklist.invite")}
        </button>
      )}
      {row.state === "scheduled" && (
        <>
          <button type="button" onClick={ask({ kind: "sure", what: "arrive", row })}>
            {t("worklist.arrived")}
          </button>
          <button type="button" onClick={ask({ kind: "move", row })}>
            {t("worklist.move")}
          </button>
        </>
      )}
      {before && (
        <>
          <button type="button" onClick={ask({ kind: "sure", what: "miss", row })}>
            {t("worklist.missed")}
          </button>
          <button type="button" class="is-danger" onClick={ask({ kind: "sure", what: "cancel", row })}>
            {t("worklist.cancel")}
          </button>
        </>
      )}
    </>
  );
}

function timeWords(row: ConsultationInfo): string {
  if (row.state === "scheduled" && row.scheduled_at !== null) {
    const at = Date.parse(row.scheduled_at);
    if (day(at) !== day(now.value)) return day(at);
    return at < now.value ? t("worklist.overdue") : "";
  }
  if (row.state === "waiting" && row.waiting_at !== null) {
    return t("worklist.waits_for", { time: whenWords(row.waiting_at) });
  }
  if (row.ended_at !== null) return t("worklist.ended_at", { time: whenWords(row.ended_at) });
  if (row.live_at !== null) return t("worklist.since", { time: whenWords(row.live_at) });
  return "";
}

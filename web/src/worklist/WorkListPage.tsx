/** Patients who wait at stations, consultations under way, today's ended ones; and the stations. */
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { ApiError, api } from "../api/client";
import type { StationInfo } from "../api/types";
import { errorSentence, t } from "../i18n";
import { clockTime, day } from "../i18n/numbers";
import { noticeSignedOut } from "../parts/account";
import { StateBadge } from "../parts/badges";
import { Icon } from "../parts/Icon";
import { bornWords, patientName } from "../parts/patient";
import { ErrorNote, Shell } from "../parts/Shell";
import { now } from "../parts/ticking";
import type { ConsultationInfo } from "../protocol/messages";
import { addressOf, go } from "../router";
import { grouped } from "./groups";

const REFRESH_MS = 3_000;

interface Lists {
  readonly consultations: readonly ConsultationInfo[];
  readonly stations: readonly StationInfo[];
}

export function WorkListPage() {
  const lists = useSignal<Lists | null>(null);
  const fault = useSignal<ApiError | null>(null);
  const refused = useSignal<ApiError | null>(null);
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout>;
    let gone = false;
    const refresh = async () => {
      try {
        const [consultations, stations] = await Promise.all([api.consultations(), api.stations()]);
        if (!gone) {
          lists.value = { consultations, stations };
          fault.value = null;
        }
      } catch (error) {
        if (!gone && !noticeSignedOut(error) && error instanceof ApiError) fault.value = error;
      }
      if (!gone) timer = setTimeout(() => void refresh(), REFRESH_MS);
    };
    void refresh();
    return () => {
      gone = true;
      clearTimeout(timer);
    };
  }, []);
  const open = async (consultation: ConsultationInfo) => {
    refused.value = null;
    try {
      if (consultation.state === "waiting") await api.admit(consultation.id);
      go({ page: "live", id: consultation.id });
    } catch (error) {
      if (!noticeSignedOut(error) && error instanceof ApiError) refused.value = error;
    }
  };
  return (
    <Shell>
      <div class="page worklist">
        <div class="worklist-main">
          <h1>{t("worklist.title")}</h1>
          {fault.value !== null && <ErrorNote sentence={errorSentence(fault.value.code, fault.value.params)} />}
          {refused.value !== null && <ErrorNote sentence={errorSentence(refused.value.code, refused.value.params)} />}
          {lists.value === null && fault.value === null && <Skeleton />}
          {lists.value !== null && <Groups consultations={lists.value.consultations} onOpen={open} />}
        </div>
        <aside class="worklist-side" aria-labelledby="stations-title">
          <h2 id="stations-title">{t("stations.title")}</h2>
          {lists.value?.stations.length === 0 && <p class="muted">{t("stations.none")}</p>}
          {lists.value?.stations.map((station) => (
            <StationCard key={station.id} station={station} />
          ))}
        </aside>
      </div>
    </Shell>
  );
}

function Skeleton() {
  return (
    <div class="skeleton" role="status">
      <span class="visually-hidden">{t("worklist.loading")}</span>
      <div />
      <div />
      <div />
    </div>
  );
}

function Groups(props: {
  consultations: readonly ConsultationInfo[];
  onOpen: (consultation: ConsultationInfo) => Promise<void>;
}) {
  const groups = grouped(props.consultations);
  return (
    <>
      <section aria-labelledby="waiting-title">
        <h2 id="waiting-title">
          {t("worklist.waiting")} <span class="count">{groups.waiting.length}</span>
        </h2>
        {groups.waiting.length === 0 && <p class="empty">{t("worklist.none_waiting")}</p>}
        <ConsultationRows rows={groups.waiting} onOpen={props.onOpen} />
      </section>
      {groups.live.length > 0 && (
        <section aria-labelledby="live-title">
          <h2 id="live-title">
            {t("worklist.live")} <span class="count">{groups.live.length}</span>
          </h2>
          <ConsultationRows rows={groups.live} onOpen={props.onOpen} />
        </section>
      )}
      <section aria-labelledby="ended-title">
        <h2 id="ended-title">{t("worklist.ended")}</h2>
        {groups.ended.length === 0 && <p class="empty">{t("worklist.none_ended")}</p>}
        <ConsultationRows rows={groups.ended} onOpen={props.onOpen} />
      </section>
    </>
  );
}

function ConsultationRows(props: {
  rows: readonly ConsultationInfo[];
  onOpen: (consultation: ConsultationInfo) => Promise<void>;
}) {
  return (
    <ul class="rows">
      {props.rows.map((row) => (
        <li key={row.id} class={`row is-${row.state}`} data-consultation={row.id} data-state={row.state}>
          <span class="row-face">
            <Icon name="person" size={26} />
          </span>
          <div class="row-who">
            <strong>{patientName(row.patient)}</strong>
            <span class="muted">{bornWords(row.patient)}</span>
          </div>
          <div class="row-where">
            <span>{row.station.name}</span>
            <span class="muted">{row.station.place}</span>
          </div>
          <div class="row-state">
            <StateBadge state={row.state} />
            <span class="muted numbers">{timeWords(row)}</span>
          </div>
          <Action row={row} onOpen={props.onOpen} />
        </li>
      ))}
    </ul>
  );
}

function Action(props: { row: ConsultationInfo; onOpen: (row: ConsultationInfo) => Promise<void> }) {
  const { row } = props;
  const busy = useSignal(false);
  if (row.state !== "waiting" && row.state !== "live" && row.state !== "interrupted") {
    return (
      <a class="button" href={addressOf({ page: "review", id: row.id })}>
        {t("worklist.review")}
        <span class="visually-hidden"> {patientName(row.patient)}</span>
      </a>
    );
  }
  const open = async () => {
    busy.value = true;
    await props.onOpen(row);
    busy.value = false;
  };
  return (
    <button type="button" class="button primary" disabled={busy.value} onClick={() => void open()}>
      {row.state === "waiting" ? t("worklist.open") : t("worklist.return")}
      <span class="visually-hidden"> {patientName(row.patient)}</span>
    </button>
  );
}

function timeWords(row: ConsultationInfo): string {
  if (row.state === "waiting" && row.waiting_at !== null) {
    return t("worklist.waits_for", { time: whenWords(Date.parse(row.waiting_at)) });
  }
  if (row.ended_at !== null) return t("worklist.ended_at", { time: whenWords(Date.parse(row.ended_at)) });
  if (row.live_at !== null) return t("worklist.since", { time: whenWords(Date.parse(row.live_at)) });
  return "";
}

/** The time, with the day in front when it is not today. */
function whenWords(at: number): string {
  return day(at) === day(now.value) ? clockTime(at) : `${day(at)}, ${clockTime(at)}`;
}

function StationCard({ station }: { station: StationInfo }) {
  return (
    <article class={`station ${station.online ? "is-online" : "is-offline"}`}>
      <span class="station-face">
        <Icon name="station" size={26} />
      </span>
      <div>
        <h3>{station.name}</h3>
        <p class="muted">{station.place}</p>
        <p class="station-state">
          <span class="dot" aria-hidden="true" />
          {station.online ? t("stations.online") : offlineWords(station)}
        </p>
      </div>
    </article>
  );
}

function offlineWords(station: StationInfo): string {
  if (station.seen_at === null) return t("stations.never");
  return t("stations.offline_since", { time: whenWords(Date.parse(station.seen_at)) });
}

/** Today's appointments, who waits, consultations under way, the ended ones; and the stations. */
import { useSignal } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";
import { api } from "../api/client";
import type { ConsultationInfo } from "../api/types";
import { errorSentence, t } from "../i18n";
import { zone } from "../i18n/numbers";
import { InviteDialog } from "../invite/InviteDialog";
import { useAsking } from "../parts/asking";
import { isClinician } from "../parts/clinic";
import { Icon } from "../parts/Icon";
import { ErrorNote, Shell } from "../parts/Shell";
import { now } from "../parts/ticking";
import { go } from "../router";
import { AppointmentDialog } from "./AppointmentDialog";
import { grouped } from "./groups";
import { WorkLists } from "./lists";
import { MoveDialog } from "./MoveDialog";
import { Rows } from "./Rows";
import { StationCard } from "./StationCard";
import { type Sure, SureDialog } from "./SureDialog";
import { Unvisited } from "./Unvisited";

/** What the page asks in a dialog now. */
export type Question =
  | { readonly kind: "new" }
  | { readonly kind: "move" | "invite"; readonly row: ConsultationInfo }
  | { readonly kind: "sure"; readonly what: Sure; readonly row: ConsultationInfo };

export function WorkListPage() {
  const lists = useMemo(() => new WorkLists(), []);
  useEffect(() => () => lists.close(), [lists]);
  const question = useSignal<Question | null>(null);
  const opening = useAsking();
  const open = async (row: ConsultationInfo) => {
    if (!isClinician()) return go({ page: "desk", id: row.id });
    if (row.state !== "waiting") return go({ page: "live", id: row.id });
    const admitted = await opening.ask(() => api.admit(row.id));
    if (admitted !== undefined) go({ page: "live", id: row.id });
  };
  const shut = () => {
    question.value = null;
    void lists.refresh();
  };
  const asked = question.value;
  const consultations = lists.consultations.value;
  const fault = opening.fault.value ?? lists.fault.value;
  return (
    <Shell>
      <div class="page worklist">
        <div class="worklist-main">
          <div class="worklist-head">
            <h1>{t("worklist.title")}</h1>
            <NewButton question={question} primary />
          </div>
          {fault !== null && <ErrorNote sentence={errorSentence(fault.code, fault.params)} />}
          {consultations === null && lists.fault.value === null && <Skeleton />}
          {consultations !== null && (
            <Groups consultations={consultations} onOpen={open} onAsk={(wanted) => (question.value = wanted)} />
          )}
          {isClinician() && <Unvisited />}
        </div>
        <aside class="worklist-side" aria-labelledby="stations-title">
          <h2 id="stations-title">{t("stations.title")}</h2>
          {consultations !== null && lists.stations.value.length === 0 && <p class="muted">{t("stations.none")}</p>}
          {lists.stations.value.map((station) => (
            <StationCard key={station.id} station={station} />
          ))}
        </aside>
      </div>
      {asked?.kind === "new" && (
        <AppointmentDialog
          stations={lists.stations.value}
          onClose={shut}
          onMade={(row, invite) => {
            question.value = invite ? { kind: "invite", row } : null;
            void lists.refresh();
          }}
        />
      )}
      {asked?.kind === "move" && <MoveDialog consultation={asked.row} onClose={shut} />}
      {asked?.kind === "invite" && <InviteDialog consultation={asked.row} onClose={shut} />}
      {asked?.kind === "sure" && <SureDialog what={asked.what} consultation={asked.row} onClose={shut} />}
    </Shell>
  );
}

function NewButton({ question, primary }: { question: { value: Question | null }; primary?: boolean }) {
  return (
    <button
      type="button"
      class={`button ${primary ? "primary" : ""}`}
      data-action="new-appointment"
      onClick={() => {
        question.value = { kind: "new" };
      }}
    >
      <Icon name="plus" size={20} />
      {t("worklist.new")}
    </button>
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
  onOpen: (row: ConsultationInfo) => Promise<void>;
  onAsk: (question: Question) => void;
}) {
  // Minutes are fine enough for "today", and the list is not drawn twice a second.
  const minute = Math.floor(now.value / 60_000);
  const groups = useMemo(
    () => grouped(props.consultations, minute * 60_000, zone.value),
    [props.consultations, minute, zone.value],
  );
  const rows = { onOpen: props.onOpen, onAsk: props.onAsk };
  return (
    <>
      <section aria-labelledby="waiting-title">
        <h2 id="waiting-title">
          {t("worklist.waiting")} <span class="count">{groups.waiting.length}</span>
        </h2>
        {groups.waiting.length === 0 && <p class="empty">{t("worklist.none_waiting")}</p>}
        <Rows rows={groups.waiting} {...rows} />
      </section>
      {groups.live.length > 0 && (
        <section aria-labelledby="live-title">
          <h2 id="live-title">
            {t("worklist.live")} <span class="count">{groups.live.length}</span>
          </h2>
          <Rows rows={groups.live} {...rows} />
        </section>
      )}
      <section aria-labelledby="today-title">
        <h2 id="today-title">
          {t("worklist.today")} <span class="count">{groups.today.length}</span>
        </h2>
        {groups.today.length === 0 && (
          <div class="empty">
            <p>{t("worklist.none_today")}</p>
            <button type="button" class="button" onClick={() => props.onAsk({ kind: "new" })}>
              <Icon name="plus" size={20} />
              {t("worklist.new")}
            </button>
          </div>
        )}
        <Rows rows={groups.today} {...rows} />
      </section>
      {groups.later.length > 0 && (
        <section aria-labelledby="later-title">
          <h2 id="later-title">
            {t("worklist.later")} <span class="count">{groups.later.length}</span>
          </h2>
          <Rows rows={groups.later} {...rows} />
        </section>
      )}
      <section aria-labelledby="ended-title">
        <h2 id="ended-title">{t("worklist.ended")}</h2>
        {groups.ended.length === 0 && <p class="empty">{t("worklist.none_ended")}</p>}
        <Rows rows={groups.ended} {...rows} />
      </section>
    </>
  );
}

/** A station as its operator needs it: who is connected to it now, and who is to be. Large, because hands are full. */
import { useSignal } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";
import { staff } from "../api/staff";
import { errorSentence, t } from "../i18n";
import { useAsking } from "../parts/asking";
import { StateBadge } from "../parts/badges";
import { isOperator } from "../parts/clinic";
import { Dialog } from "../parts/Dialog";
import { Refusal } from "../parts/Field";
import { Icon } from "../parts/Icon";
import { bornWords, patientName } from "../parts/patient";
import { ErrorNote, Shell } from "../parts/Shell";
import { StationFacts } from "../parts/StationFacts";
import { whenWords } from "../parts/when";
import { MergeDialog } from "../patients/MergeDialog";
import { PatientLine } from "../patients/PatientPicker";
import type { StationStatus } from "../protocol/messages";
import { RecordingMark } from "../room/RecordingMark";
import { addressOf } from "../router";
import { ConfirmPatient } from "./ConfirmPatient";
import { type Connected, StationDesk } from "./station";

/** What is being done; about whom is fixed when it is begun, whatever happens at the station meanwhile. */
type Doing =
  | null
  | { readonly kind: "confirm" }
  | { readonly kind: "close"; readonly whom: Connected }
  | { readonly kind: "merge"; readonly whom: Connected | null };

export function StationPage({ id }: { id: number }) {
  const desk = useMemo(() => new StationDesk(id), [id]);
  useEffect(() => () => desk.close(), [desk]);
  const doing = useSignal<Doing>(null);
  const closing = useAsking();
  const connected = desk.connected.value;
  const done = () => {
    doing.value = null;
    void desk.refresh();
  };
  const release = async (one: Connected) => {
    if ((await closing.ask(() => staff.detach(one.attachment.id))) !== undefined) done();
  };
  const ask = (what: Doing) => () => {
    closing.fault.value = null;
    doing.value = what;
  };
  const now = doing.value;
  if (!isOperator()) {
    return (
      <Shell>
        <div class="page plain">
          <h1>{t("operator.title")}</h1>
          <p>{t("operator.only")}</p>
        </div>
      </Shell>
    );
  }
  const station = desk.station.value;
  return (
    <Shell>
      <div class="page operator">
        <header class="operator-head">
          <a class="button large" href={addressOf({ page: "worklist" })}>
            <Icon name="back" />
            {t("nav.worklist")}
          </a>
          <div>
            <h1>{station?.name ?? t("operator.title")}</h1>
            {station !== null && (
              <p class={`station-state ${station.online ? "is-online" : ""}`}>
                <span class="dot" aria-hidden="true" />
                {station.place} · {station.online ? t("stations.online") : t("operator.offline")}
              </p>
            )}
            <StationFacts status={(station?.status ?? null) as StationStatus | null} />
          </div>
        </header>
        {desk.missing.value && <ErrorNote sentence={t("operator.no_station")} />}
        {!desk.missing.value && desk.fault.value !== null && (
          <ErrorNote sentence={errorSentence(desk.fault.value.code, desk.fault.value.params)} />
        )}
        {connected === undefined && desk.fault.value === null && (
          <div class="skeleton" role="status">
            <span class="visually-hidden">{t("shell.connecting")}</span>
            <div />
          </div>
        )}
        {now?.kind === "confirm" ? (
          <ConfirmPatient station={id} visits={desk.visits.value} onDone={done} onBack={ask(null)} />
        ) : (
          connected !== undefined && (
            <WhoIsConnected
              connected={connected}
              onConfirm={ask({ kind: "confirm" })}
              onClose={connected === null ? ask(null) : ask({ kind: "close", whom: connected })}
              onMerge={ask({ kind: "merge", whom: connected })}
            />
          )
        )}
        {now?.kind !== "confirm" && desk.visits.value.length > 0 && (
          <section aria-labelledby="here-title">
            <h2 id="here-title">{t("operator.visits")}</h2>
            <ul class="expected">
              {desk.visits.value.map((one) => (
                <li key={one.id}>
                  <a class="button large" href={addressOf({ page: "desk", id: one.id })}>
                    <span>
                      {patientName(one.patient)} <span class="muted">{bornWords(one.patient)}</span>
                    </span>
                    <span class="expected-state numbers">
                      {one.scheduled_at !== null && whenWords(one.scheduled_at)} <StateBadge state={one.state} />{" "}
                      <RecordingMark since={one.recording_since} />
                    </span>
                  </a>
                </li>
              ))}
            </ul>
          </section>
        )}
        {now?.kind !== "confirm" && (
          <p>
            <button type="button" class="button large" onClick={ask({ kind: "merge", whom: null })}>
              {t("merge.find")}
            </button>
          </p>
        )}
      </div>
      {now?.kind === "close" && (
        <Dialog title={t("operator.close_title")} onClose={ask(null)}>
          <p>{t("operator.close_text", { patient: now.whom.patient?.name ?? t("patient.erased") })}</p>
          <Refusal error={closing.fault.value} />
          <div class="dialog-actions">
            <button type="button" class="button large" onClick={ask(null)}>
              {t("dialog.back")}
            </button>
            <button
              type="button"
              class="button large danger"
              disabled={closing.busy.value}
              onClick={() => void release(now.whom)}
            >
              {t("operator.close_yes")}
            </button>
          </div>
        </Dialog>
      )}
      {now?.kind === "merge" && (
        <MergeDialog
          provisional={now.whom?.patient ?? null}
          first={now.whom === null ? null : freeing(now.whom)}
          onClose={done}
          onMerged={done}
        />
      )}
    </Shell>
  );
}

/** A connected patient is not merged: the station lets go first, once, and whoever it really is is confirmed anew. */
function freeing(whom: Connected): () => Promise<void> {
  let free = false;
  return async () => {
    if (!free) await staff.detach(whom.attachment.id);
    free = true;
  };
}

function WhoIsConnected(props: {
  connected: Connected | null;
  onConfirm: () => void;
  onClose: () => void;
  onMerge: () => void;
}) {
  const { connected } = props;
  if (connected === null) {
    return (
      <section class="connected is-nobody" aria-labelledby="connected-title">
        <h2 id="connected-title">{t("operator.nobody")}</h2>
        <p>{t("operator.nobody_text")}</p>
        <button type="button" class="button large primary" data-action="confirm" onClick={props.onConfirm}>
          <Icon name="person" size={28} />
          {t("operator.confirm")}
        </button>
      </section>
    );
  }
  return (
    <section class="connected" aria-labelledby="connected-title" data-patient={connected.attachment.patient_id}>
      <h2 id="connected-title">{t("operator.connected")}</h2>
      <div class="connected-who">
        {connected.patient === null ? <p>{t("patient.erased")}</p> : <PatientLine patient={connected.patient} />}
        <p class="muted numbers">{t("worklist.since", { time: whenWords(connected.attachment.opened_at) })}</p>
      </div>
      <div class="large-pair">
        <button type="button" class="button large primary" data-action="confirm" onClick={props.onConfirm}>
          {t("operator.change")}
        </button>
        <button type="button" class="button large" data-action="release" onClick={props.onClose}>
          {t("operator.close")}
        </button>
      </div>
      {connected.patient?.provisional && (
        <div class="provisional-note">
          <p>{t("operator.provisional")}</p>
          <button type="button" class="button large" onClick={props.onMerge}>
            {t("merge.open")}
          </button>
        </div>
      )}
    </section>
  );
}

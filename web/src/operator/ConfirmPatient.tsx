/** Who is being connected: found, then read aloud to the person, and only then attached. */
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { type PatientRecord, staff } from "../api/staff";
import type { ConsultationInfo } from "../api/types";
import { t } from "../i18n";
import { clockTime } from "../i18n/numbers";
import { useAsking } from "../parts/asking";
import { StateBadge } from "../parts/badges";
import { Refusal } from "../parts/Field";
import { bornWords, patientName } from "../parts/patient";
import { PatientPicker } from "../patients/PatientPicker";
import { visitOf } from "./station";

/** What is read back. */
interface Candidate {
  readonly id: string;
  readonly name: string;
  readonly birthYear: number | null;
  readonly provisional: boolean;
}

export function ConfirmPatient(props: {
  station: number;
  visits: readonly ConsultationInfo[];
  onDone: () => void;
  onBack: () => void;
}) {
  const candidate = useSignal<Candidate | null>(null);
  const heading = useRef<HTMLHeadingElement>(null);
  const asking = useAsking();
  const chosen = candidate.value;
  useEffect(() => heading.current?.focus(), [chosen]);
  const attach = async (who: Candidate) => {
    const visit = visitOf(props.visits, who.id);
    if ((await asking.ask(() => staff.attach(props.station, who.id, visit))) !== undefined) props.onDone();
  };
  const no = () => {
    asking.fault.value = null;
    candidate.value = null;
  };
  if (chosen !== null) {
    return (
      <section class="confirm" aria-labelledby="confirm-title" data-step="read">
        <h2 id="confirm-title" ref={heading} tabIndex={-1}>
          {chosen.provisional ? t("confirm.provisional_title") : t("confirm.read_title")}
        </h2>
        <blockquote class="read-aloud">
          <strong>{chosen.name}</strong>
          {chosen.birthYear !== null && !chosen.provisional && (
            <span>{t("confirm.born", { year: String(chosen.birthYear) })}</span>
          )}
          {!chosen.provisional && <span>{t("confirm.is_it_so")}</span>}
        </blockquote>
        <p>{chosen.provisional ? t("confirm.provisional_text") : t("confirm.read_text")}</p>
        <Refusal error={asking.fault.value} />
        <div class="large-pair">
          <button
            type="button"
            class="button large primary"
            data-answer="yes"
            disabled={asking.busy.value}
            onClick={() => void attach(chosen)}
          >
            {chosen.provisional ? t("confirm.provisional_yes") : t("confirm.yes")}
          </button>
          <button type="button" class="button large" data-answer="no" onClick={no}>
            {chosen.provisional ? t("dialog.back") : t("confirm.no")}
          </button>
        </div>
      </section>
    );
  }
  const pick = (patient: PatientRecord) => {
    candidate.value = {
      id: patient.id,
      name: patient.name ?? t("patient.erased"),
      birthYear: patient.birth_year,
      provisional: patient.provisional,
    };
  };
  const expected = props.visits.filter((one) => !one.patient.key_destroyed);
  return (
    <section class="confirm" aria-labelledby="confirm-title" data-step="find">
      <h2 id="confirm-title" ref={heading} tabIndex={-1}>
        {t("confirm.find_title")}
      </h2>
      {expected.length > 0 && (
        <>
          <h3>{t("confirm.expected")}</h3>
          <ul class="expected">
            {expected.map((one) => (
              <li key={one.id}>
                <button
                  type="button"
                  class="button large"
                  onClick={() => {
                    candidate.value = {
                      id: one.patient.id,
                      name: patientName(one.patient),
                      birthYear: one.patient.birth_year,
                      provisional: false,
                    };
                  }}
                >
                  <span>
                    {patientName(one.patient)} <span class="muted">{bornWords(one.patient)}</span>
                  </span>
                  <span class="expected-state numbers">
                    {one.state === "scheduled" && one.scheduled_at !== null && clockTime(Date.parse(one.scheduled_at))}{" "}
                    <StateBadge state={one.state} />
                  </span>
                </button>
              </li>
            ))}
          </ul>
          <h3>{t("confirm.somebody_else")}</h3>
        </>
      )}
      <PatientPicker entry="unknown" pick={t("patients.choose")} onPick={pick} />
      <div class="dialog-actions">
        <button type="button" class="button large" onClick={props.onBack}>
          {t("dialog.back")}
        </button>
      </div>
    </section>
  );
}

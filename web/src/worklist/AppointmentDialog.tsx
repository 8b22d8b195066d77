/** A new appointment or a walk-in: for whom, with whom, where and when. */
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { type Colleague, type PatientRecord, staff } from "../api/staff";
import type { ConsultationInfo, StationInfo } from "../api/types";
import { t } from "../i18n";
import { account } from "../parts/account";
import { useAsking } from "../parts/asking";
import { isClinician } from "../parts/clinic";
import { Dialog } from "../parts/Dialog";
import { Choose, OneOf, Refusal } from "../parts/Field";
import { PatientLine, PatientPicker } from "../patients/PatientPicker";
import { chosenInstant, useWhen, WhenFields } from "./WhenFields";

const HOME = "home";
const ANYONE = "";

export function AppointmentDialog(props: {
  stations: readonly StationInfo[];
  onClose: () => void;
  onMade: (consultation: ConsultationInfo, invite: boolean) => void;
}) {
  const patient = useSignal<PatientRecord | null>(null);
  return (
    <Dialog title={t("appointment.title")} onClose={props.onClose}>
      <div class="wide-dialog">
        {patient.value === null ? (
          <>
            <PatientPicker
              entry="new"
              pick={t("patients.choose")}
              onPick={(chosen) => {
                patient.value = chosen;
              }}
            />
            <div class="dialog-actions">
              <button type="button" class="button" onClick={props.onClose}>
                {t("dialog.back")}
              </button>
            </div>
          </>
        ) : (
          <Details
            {...props}
            patient={patient.value}
            onOther={() => {
              patient.value = null;
            }}
          />
        )}
      </div>
    </Dialog>
  );
}

function Details(props: {
  stations: readonly StationInfo[];
  patient: PatientRecord;
  onOther: () => void;
  onClose: () => void;
  onMade: (consultation: ConsultationInfo, invite: boolean) => void;
}) {
  const colleagues = useSignal<readonly Colleague[]>([]);
  const me = isClinician() ? (account.value?.id ?? ANYONE) : ANYONE;
  const clinician = useSignal(me);
  const where = useSignal<string>(String(props.stations[0]?.id ?? HOME));
  const kind = useSignal<"later" | "now">("later");
  const when = useWhen();
  const asking = useAsking();
  useEffect(() => {
    void asking.ask(async () => {
      colleagues.value = await staff.colleagues();
    });
  }, []);
  const at = chosenInstant(when);
  const make = async () => {
    if (kind.value === "later" && at === null) return;
    const home = where.value === HOME;
    const made = await asking.ask(() =>
      staff.create({
        station_id: home ? null : Number(where.value),
        patient_id: props.patient.id,
        clinician_id: clinician.value === ANYONE ? null : clinician.value,
        scheduled_at: kind.value === "now" || at === null ? null : new Date(at).toISOString(),
        minutes: when.minutes.value,
      }),
    );
    // A patient at home comes by a link, so the invitation is the next thing to do.
    if (made !== undefined) props.onMade(made, home);
  };
  return (
    <form
      class="form"
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        void make();
      }}
    >
      <div class="chosen-patient">
        <div>
          <PatientLine patient={props.patient} />
        </div>
        <button type="button" class="button" onClick={props.onOther}>
          {t("patients.other")}
        </button>
      </div>
      <OneOf
        legend={t("appointment.when")}
        value={kind.value}
        options={[
          ["later", t("appointment.later")],
          ["now", t("appointment.now")],
        ]}
        onChange={(value) => {
          kind.value = value;
        }}
      />
      {kind.value === "later" ? <WhenFields when={when} /> : <p class="muted">{t("appointment.now_text")}</p>}
      <div class="two-columns">
        <Choose
          label={t("appointment.where")}
          value={where.value}
          onChange={(value) => {
            where.value = value;
          }}
        >
          {props.stations.map((station) => (
            <option key={station.id} value={String(station.id)}>
              {station.name} · {station.place}
            </option>
          ))}
          <option value={HOME}>{t("appointment.home")}</option>
        </Choose>
        <Choose
          label={t("appointment.clinician")}
          value={clinician.value}
          onChange={(value) => {
            clinician.value = value;
          }}
        >
          <option value={ANYONE}>{t("worklist.anyone")}</option>
          {me !== ANYONE && !colleagues.value.some((one) => one.id === me) && (
            <option value={me}>{account.value?.name}</option>
          )}
          {colleagues.value.map((one) => (
            <option key={one.id} value={one.id}>
              {one.name}
            </option>
          ))}
        </Choose>
      </div>
      {where.value === HOME && <p class="muted">{t("appointment.home_text")}</p>}
      <Refusal error={asking.fault.value} />
      <div class="dialog-actions">
        <button type="button" class="button" onClick={props.onClose}>
          {t("dialog.back")}
        </button>
        <button
          type="submit"
          class="button primary"
          disabled={asking.busy.value || (kind.value === "later" && at === null)}
        >
          {kind.value === "now" ? t("appointment.make_now") : t("appointment.make")}
        </button>
      </div>
    </form>
  );
}

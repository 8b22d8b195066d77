/** A new patient: name, year of birth, numbers with a word on their form, and whether the entry is provisional. */
import { useSignal } from "@preact/signals";
import { type Identifier, type PatientRecord, staff } from "../api/staff";
import { t } from "../i18n";
import { clockTime, day } from "../i18n/numbers";
import { useAsking } from "../parts/asking";
import { Field, Refusal } from "../parts/Field";
import { Icon } from "../parts/Icon";
import { birthYear } from "./birth";
import { IdentifierFields } from "./IdentifierFields";

const MOST_IDENTIFIERS = 8;

export function NewPatient(props: {
  unknown: boolean;
  name: string;
  onMade: (patient: PatientRecord) => void;
  onBack: () => void;
}) {
  const name = useSignal(props.unknown ? unknownName() : props.name);
  const year = useSignal("");
  const identifiers = useSignal<readonly Identifier[]>([]);
  const provisional = useSignal(props.unknown);
  const tried = useSignal(false);
  const asking = useAsking();
  const born = birthYear(year.value, Date.now());
  const mayStayUnknown = year.value.trim() === "" && props.unknown && provisional.value;
  const nameMissing = name.value.trim() === "";
  const make = async () => {
    tried.value = true;
    if (nameMissing || (born === null && !mayStayUnknown)) return;
    const made = await asking.ask(() =>
      staff.createPatient({
        name: name.value.trim(),
        birth_year: born,
        identifiers: identifiers.value
          .map((one) => ({ system: one.system, value: one.value.trim() }))
          .filter((one) => one.value !== ""),
        provisional: provisional.value,
      }),
    );
    if (made !== undefined) props.onMade(made);
  };
  const change = (at: number, one: Identifier | null) => {
    identifiers.value = identifiers.value.flatMap((old, i) => (i !== at ? [old] : one === null ? [] : [one]));
  };
  return (
    <form
      class="form new-patient"
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        void make();
      }}
    >
      <h3>{props.unknown ? t("patients.unknown_title") : t("patients.new_title")}</h3>
      {props.unknown && <p class="muted">{t("patients.unknown_text")}</p>}
      <Field
        label={t("patients.name")}
        value={name.value}
        required
        fault={tried.value && nameMissing ? t("patients.name_missing") : null}
        onInput={(value) => {
          name.value = value;
        }}
      />
      <Field
        label={props.unknown ? t("patients.year_about") : t("patients.year")}
        value={year.value}
        mode="numeric"
        maxLength={4}
        required={!props.unknown}
        fault={tried.value && born === null && !mayStayUnknown ? t("patients.year_wrong") : null}
        onInput={(value) => {
          year.value = value;
        }}
      />
      {!props.unknown && (
        <fieldset class="identifiers">
          <legend>{t("identifier.title")}</legend>
          {identifiers.value.map((one, at) => (
            <IdentifierFields key={at} identifier={one} onChange={(changed) => change(at, changed)} />
          ))}
          {identifiers.value.length < MOST_IDENTIFIERS && (
            <button
              type="button"
              class="button"
              onClick={() => {
                identifiers.value = [...identifiers.value, { system: "egn", value: "" }];
              }}
            >
              <Icon name="plus" size={20} />
              {t("identifier.add")}
            </button>
          )}
        </fieldset>
      )}
      <label class="tick">
        <input
          type="checkbox"
          checked={provisional.value}
          disabled={props.unknown}
          onChange={(event) => {
            provisional.value = event.currentTarget.checked;
          }}
        />
        <span>
          {t("patients.provisional_box")}
          <span class="field-hint">{t("patients.provisional_hint")}</span>
        </span>
      </label>
      <Refusal error={asking.fault.value} />
      <div class="dialog-actions">
        <button type="button" class="button" onClick={props.onBack}>
          {t("patients.to_search")}
        </button>
        <button type="submit" class="button primary" disabled={asking.busy.value}>
          {t("patients.save")}
        </button>
      </div>
    </form>
  );
}

function unknownName(): string {
  const now = Date.now();
  return t("patients.unknown_name", { day: day(now), time: clockTime(now) });
}

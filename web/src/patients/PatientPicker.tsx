/** Find a patient by name or number, or enter a new one. */
import { useSignal } from "@preact/signals";
import { useId } from "preact/hooks";
import type { Identifier, PatientRecord } from "../api/staff";
import { t } from "../i18n";
import { Field, Refusal } from "../parts/Field";
import { Icon } from "../parts/Icon";
import { NewPatient } from "./NewPatient";
import { LEAST_LETTERS, usePatientSearch } from "./search";
import { systemWords } from "./systems";

interface PickerProps {
  readonly onPick: (patient: PatientRecord) => void;
  /** Only these may be picked. */
  readonly only?: (patient: PatientRecord) => boolean;
  /** The words on the button of a found patient. */
  readonly pick: string;
  /** Entering somebody new is offered; `unknown` also for somebody whose name nobody knows. */
  readonly entry?: "new" | "unknown";
}

export function PatientPicker(props: PickerProps) {
  const search = usePatientSearch();
  const entering = useSignal<"new" | "unknown" | null>(null);
  const id = useId();
  const found = search.found.value?.filter((one) => props.only?.(one) ?? true) ?? null;
  if (entering.value !== null) {
    return (
      <NewPatient
        unknown={entering.value === "unknown"}
        name={entering.value === "new" ? search.words.value : ""}
        onMade={props.onPick}
        onBack={() => {
          entering.value = null;
        }}
      />
    );
  }
  return (
    <div class="picker">
      <Field
        label={t("patients.search")}
        hint={t("patients.search_hint")}
        type="search"
        value={search.words.value}
        onInput={(value) => {
          search.words.value = value;
        }}
      />
      <Refusal error={search.fault.value} />
      <p class="visually-hidden" role="status">
        {search.searching.value
          ? t("patients.searching")
          : found === null
            ? ""
            : t("patients.found", { count: found.length })}
      </p>
      {search.searching.value && found === null && (
        <div class="skeleton is-small" aria-hidden="true">
          <div />
          <div />
        </div>
      )}
      {found !== null && found.length === 0 && !search.searching.value && (
        <p class="empty">{t("patients.none_found")}</p>
      )}
      {found !== null && found.length > 0 && (
        <ul class="found" aria-labelledby={`${id}-found`}>
          <li class="visually-hidden" id={`${id}-found`}>
            {t("patients.results")}
          </li>
          {found.map((one) => (
            <li key={one.id}>
              <div>
                <PatientLine patient={one} />
              </div>
              <button type="button" class="button" onClick={() => props.onPick(one)}>
                {props.pick}
                <span class="visually-hidden"> {one.name}</span>
              </button>
            </li>
          ))}
        </ul>
      )}
      {props.entry !== undefined && (
        <div class="picker-new">
          <button
            type="button"
            class="button"
            onClick={() => {
              entering.value = "new";
            }}
          >
            <Icon name="plus" size={20} />
            {t("patients.new")}
          </button>
          {props.entry === "unknown" && (
            <button
              type="button"
              class="button"
              onClick={() => {
                entering.value = "unknown";
              }}
            >
              <Icon name="help" size={20} />
              {t("patients.unknown")}
            </button>
          )}
        </div>
      )}
      {props.entry === undefined && found === null && search.words.value.trim().length < LEAST_LETTERS && (
        <p class="muted">{t("patients.type_more", { count: LEAST_LETTERS })}</p>
      )}
    </div>
  );
}

/** A found patient: name, year of birth, numbers, and whether the entry is provisional. */
export function PatientLine({ patient }: { patient: PatientRecord }) {
  return (
    <>
      <p class="found-name">
        <strong>{patient.name ?? t("patient.erased")}</strong>
        {patient.provisional && <span class="badge">{t("patients.provisional")}</span>}
      </p>
      <p class="muted">
        {patient.birth_year !== null && t("patient.born", { year: String(patient.birth_year) })}
        {patient.identifiers.map((one) => (
          <span key={`${one.system} ${one.value}`} class="numbers">
            {" · "}
            {identifierWords(one)}
          </span>
        ))}
      </p>
    </>
  );
}

export function identifierWords(one: Identifier): string {
  return `${systemWords(one.system)} ${one.value}`;
}

/** A patient in words; one whose key was destroyed has none left. */
import { t } from "../i18n";
import type { PatientInfo } from "../protocol/messages";

export function patientName(patient: PatientInfo): string {
  return patient.name ?? t("patient.erased");
}

export function bornWords(patient: PatientInfo): string {
  return patient.birth_year === null ? "" : t("patient.born", { year: String(patient.birth_year) });
}

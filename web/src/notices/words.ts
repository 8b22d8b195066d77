/** Waiting people in words. */
import { t } from "../i18n";
import type { Role } from "../protocol/people";
import { roleWords } from "../room/words";
import type { Waiting } from "./waiting";

/** Who waits, in one sentence. */
export function sentenceOf(one: Waiting): string {
  const patient = one.patient ?? t("patient.erased");
  return one.kind === "visit"
    ? t("notices.patient_waits", { patient })
    : t("notices.guest_waits", { patient, role: roleWords(one.role as Role) });
}

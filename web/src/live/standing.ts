/** What somebody is in a consultation, and on which side of it people are. Pure. */
import type { ConsultationInfo } from "../api/types";
import type { Person } from "../protocol/people";

/** `clinician` is assigned, `second` takes part beside it, `free` may take it, `other` works around it. */
export type Standing = "clinician" | "second" | "free" | "other";

export function standingOf(info: ConsultationInfo | null, account: string | null): Standing {
  if (info === null || account === null) return "other";
  if (info.clinician?.id === account) return "clinician";
  if (info.second_clinicians.some((one) => one.id === account)) return "second";
  return info.clinician === null ? "free" : "other";
}

/** Vital signs are for those who take part. */
export function takesPart(info: ConsultationInfo | null, account: string | null): boolean {
  const standing = standingOf(info, account);
  return standing === "clinician" || standing === "second";
}

const PATIENT_SIDE = new Set(["patient", "relative", "station"]);

export type Side = "patient" | "clinician";

/** Whose line is missing from a consultation that both sides should be in; empty when nobody's is. */
export function missingSides(people: readonly Person[]): readonly Side[] {
  const inside = people.filter((person) => person.here && person.seat !== "waiting");
  const missing: Side[] = [];
  if (!inside.some((person) => PATIENT_SIDE.has(person.role))) missing.push("patient");
  if (!inside.some((person) => person.role === "clinician")) missing.push("clinician");
  return missing;
}

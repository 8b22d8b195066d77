/** People and pictures of a room in words. */
import { t } from "../i18n";
import type { Key } from "../i18n/keys";
import type { Person, Role, Source } from "../protocol/people";
import { personOf } from "./tiles";

const ROLES: Record<Role, Key> = {
  clinician: "people.clinician",
  second_clinician: "people.second_clinician",
  operator: "people.operator",
  patient: "people.patient",
  relative: "people.relative",
  interpreter: "people.interpreter",
  station: "people.station",
};

export const roleWords = (role: Role): string => (role in ROLES ? t(ROLES[role]) : role);

/** The person's name where it is told, else the role. */
export const nameOf = (person: Pick<Person, "name" | "role">): string => person.name ?? roleWords(person.role);

/** What a tile shows: who; for a screen whose; for the station's second camera that it is the one for examining. */
export function tileWords(
  people: readonly Person[],
  tile: { readonly participant: string; readonly role: Role; readonly source: Source },
): string {
  const who = nameOf(personOf(people, tile.participant) ?? { name: null, role: tile.role });
  if (tile.source === "exam") return t("tile.exam");
  return tile.source === "screen" ? t("tile.screen", { who }) : who;
}

/** Bytes as people say them. */
export function sizeWords(bytes: number, decimal: (value: number, decimals?: number) => string): string {
  if (bytes < 1024) return `${bytes} B`;
  if (bytes < 1024 * 1024) return `${decimal(bytes / 1024)} KB`;
  return `${decimal(bytes / 1024 / 1024, 1)} MB`;
}

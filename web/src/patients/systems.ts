/** Registers whose numbers people bring along, in words. */
import { t } from "../i18n";
import type { Key } from "../i18n/keys";

export const SYSTEMS = ["egn", "lnch", "embg", "ehic", "other"] as const;

const WORDS: Readonly<Record<string, Key>> = {
  egn: "identifier.egn",
  lnch: "identifier.lnch",
  embg: "identifier.embg",
  ehic: "identifier.ehic",
  other: "identifier.other",
};

/** The words for a register; one without words is shown as it is. */
export function systemWords(system: string): string {
  const key = WORDS[system];
  return key === undefined ? system : t(key);
}

/** Where a number comes from, in words: the device's name, or what we computed it from. */
import { t } from "../i18n";
import type { Numeric } from "../protocol/messages";

export function sourceWords(numeric: Numeric): string {
  if (!numeric.derived) return numeric.source;
  return numeric.kind === "respiration_rate" ? t("numeric.from_respiration") : t("numeric.from_ecg");
}

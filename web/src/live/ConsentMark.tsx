/** Whether the patient agreed to be cared for from a distance: as words, and as a mark on the patient strip. */
import { t } from "../i18n";
import type { Key } from "../i18n/keys";
import { Icon } from "../parts/Icon";

const keyOf = (given: boolean | null): Key =>
  given === null ? "live.consent_unknown" : given ? "live.consent_given" : "live.consent_refused";

const classOf = (given: boolean | null): string => (given === null ? "is-unknown" : given ? "is-given" : "is-refused");

export function ConsentWords({ given }: { given: boolean | null }) {
  return (
    <p class={`consent ${classOf(given)}`} data-consent={String(given)}>
      <Icon name={given === true ? "check" : "warning"} size={20} />
      {t(keyOf(given))}
    </p>
  );
}

export function ConsentMark({ given }: { given: boolean | null }) {
  return (
    <span class={`consent-mark ${classOf(given)}`} data-consent={String(given)} title={t(keyOf(given))}>
      <Icon name={given === true ? "check" : "warning"} size={18} />
      <span class="consent-mark-words">{t("live.consent_short")}</span>
      <span class="visually-hidden">: {t(keyOf(given))}</span>
    </span>
  );
}

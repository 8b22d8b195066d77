/** What one agrees to, in plain words; agreeing holds nothing up and can be taken back. */
import { useSignal } from "@preact/signals";
import { CONSENT_VERSION } from "../api/guests";
import { t } from "../i18n";
import { Icon } from "../parts/Icon";
import type { Visit } from "./visit";

const PARAGRAPHS = ["consent.what", "consent.who", "consent.stored", "consent.not", "consent.free"] as const;

export function Consent({ visit }: { visit: Visit }) {
  const busy = useSignal(false);
  const failed = useSignal(false);
  const seat = visit.seat.value;
  if (seat === null || (seat.role !== "patient" && seat.role !== "relative")) return null;
  const say = async (given: boolean) => {
    busy.value = true;
    failed.value = !(await visit.consent(given));
    busy.value = false;
  };
  return (
    <section class="consent" aria-labelledby="consent-title" data-version={CONSENT_VERSION} data-given={seat.consent}>
      <h2 id="consent-title">{t("consent.title")}</h2>
      {PARAGRAPHS.map((key) => (
        <p key={key}>{t(key)}</p>
      ))}
      <div role="status">
        {seat.consent && (
          <p class="agreed">
            <Icon name="check" />
            {t("consent.given")}
          </p>
        )}
        {failed.value && <p class="trouble">{t("consent.failed")}</p>}
      </div>
      {seat.consent ? (
        <button type="button" class="plain" aria-disabled={busy.value} onClick={() => void say(false)}>
          {t("consent.withdraw")}
        </button>
      ) : (
        <button
          type="button"
          class="big"
          data-command="agree"
          aria-disabled={busy.value}
          onClick={() => {
            if (!busy.value) void say(true);
          }}
        >
          {t("consent.agree")}
        </button>
      )}
    </section>
  );
}

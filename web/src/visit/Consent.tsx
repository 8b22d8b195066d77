/** What one agrees to, in plain words; agreeing holds nothing up and can be taken back. */
import { useSignal } from "@preact/signals";
import { useRef } from "preact/hooks";
import { CONSENT_VERSION } from "../api/guests";
import { t } from "../i18n";
import { Icon } from "../parts/Icon";
import type { VisitShown } from "../protocol/people";
import type { Visit } from "./visit";

const PARAGRAPHS = ["consent.what", "consent.who", "consent.stored", "consent.not", "consent.free"] as const;

/** Who is asked: the patient, or the relative who answers for one. */
export function asksConsent(seat: VisitShown | null): seat is VisitShown {
  return seat !== null && (seat.role === "patient" || seat.role === "relative");
}

export function ConsentText() {
  return (
    <>
      {PARAGRAPHS.map((key) => (
        <p key={key}>{t(key)}</p>
      ))}
    </>
  );
}

/** Saying it: whether an answer is under way, and whether the last one did not arrive. */
export function useConsent(visit: Visit) {
  const busy = useSignal(false);
  const failed = useSignal(false);
  const say = async (given: boolean) => {
    if (busy.value) return;
    busy.value = true;
    failed.value = !(await visit.consent(given));
    if (!given && !failed.value) visit.consentPutOff.value = true;
    busy.value = false;
  };
  return { busy, failed, say };
}

/** In the waiting room: in short with the button; everything else folded below it. */
export function Consent({ visit }: { visit: Visit }) {
  const { busy, failed, say } = useConsent(visit);
  const seat = visit.seat.value;
  const title = useRef<HTMLHeadingElement>(null);
  if (!asksConsent(seat)) return null;
  // The button that was pressed is gone, and the next press must not be its opposite: the heading takes the focus.
  const answer = async (given: boolean) => {
    await say(given);
    if (!failed.value) title.current?.focus();
  };
  return (
    <section class="consent" aria-labelledby="consent-title" data-version={CONSENT_VERSION} data-given={seat.consent}>
      <h2 id="consent-title" ref={title} tabIndex={-1}>
        {t("consent.title")}
      </h2>
      {!seat.consent && <p>{t("consent.short")}</p>}
      <div role="status">
        {seat.consent && (
          <p class="agreed">
            <Icon name="check" />
            {t("consent.given")}
          </p>
        )}
        {failed.value && <p class="trouble">{t("consent.failed")}</p>}
      </div>
      {!seat.consent && (
        <button
          key="agree"
          type="button"
          class="big primary"
          data-command="agree"
          aria-disabled={busy.value}
          onClick={() => void answer(true)}
        >
          {t("consent.agree")}
        </button>
      )}
      <details class="more">
        <summary>{t("consent.read")}</summary>
        <ConsentText />
      </details>
      {seat.consent && (
        <button
          key="withdraw"
          type="button"
          class="plain"
          aria-disabled={busy.value}
          onClick={() => void answer(false)}
        >
          {t("consent.withdraw")}
        </button>
      )}
    </section>
  );
}

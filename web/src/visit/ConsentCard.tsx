/**
 * The consent over the call, for whoever was let in before answering: asked until answered, put off to one small button,
 * and confirmed for a while once given.
 */
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { t } from "../i18n";
import { Dialog } from "../parts/Dialog";
import { Icon } from "../parts/Icon";
import { asksConsent, ConsentText, useConsent } from "./Consent";
import type { Visit } from "./visit";

/** Long enough to be read slowly. */
const THANKS_MS = 8_000;

export function ConsentCard({ visit }: { visit: Visit }) {
  const { busy, failed, say } = useConsent(visit);
  const reading = useSignal(false);
  const thanks = useSignal(false);
  const seat = visit.seat.value;
  const given = seat?.consent ?? false;
  const before = useRef(given);
  useEffect(() => {
    const now = given && !before.current;
    before.current = given;
    thanks.value = now;
    if (!now) return;
    // The button that was pressed is gone: the page's heading takes the focus.
    document.querySelector<HTMLElement>("[data-stage=call] h1[tabindex]")?.focus();
    const timer = setTimeout(() => {
      thanks.value = false;
    }, THANKS_MS);
    return () => clearTimeout(timer);
  }, [given]);
  if (!asksConsent(seat)) return null;
  const open = () => {
    visit.consentPutOff.value = false;
  };
  return (
    <>
      <div class="consent-over" data-consent={given ? "given" : visit.consentPutOff.value ? "later" : "asked"}>
        <div role="status">
          {thanks.value && (
            <p class="consent-thanks">
              <Icon name="check" />
              {t("consent.given")}
            </p>
          )}
        </div>
        {!given && visit.consentPutOff.value && (
          <button type="button" class="consent-open" data-command="consent" onClick={open}>
            {t("consent.not_yet")}
          </button>
        )}
        {!given && !visit.consentPutOff.value && (
          <section class="consent-card" aria-labelledby="consent-card-words">
            <p id="consent-card-words">{t("consent.in_call")}</p>
            {failed.value && <p role="alert">{t("consent.failed")}</p>}
            <div class="consent-card-actions">
              <button
                type="button"
                class="big primary"
                data-command="agree"
                aria-disabled={busy.value}
                onClick={() => void say(true)}
              >
                {t("consent.agree")}
              </button>
              <button
                type="button"
                class="big"
                data-command="consent-read"
                onClick={() => {
                  reading.value = true;
                }}
              >
                {t("consent.read_short")}
              </button>
              <button
                type="button"
                class="big"
                data-command="consent-later"
                onClick={() => {
                  visit.consentPutOff.value = true;
                }}
              >
                {t("consent.later")}
              </button>
            </div>
          </section>
        )}
      </div>
      {reading.value && (
        <Dialog
          title={t("consent.title")}
          onClose={() => {
            reading.value = false;
          }}
        >
          <ConsentText />
          <div class="dialog-actions is-large">
            <button
              type="button"
              class="big"
              onClick={() => {
                reading.value = false;
              }}
            >
              {t("in.close")}
            </button>
          </div>
        </Dialog>
      )}
    </>
  );
}

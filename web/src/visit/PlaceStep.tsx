/** Where one is now and under which number: for an ambulance, and for when the line drops. May be passed over. */
import { useSignal } from "@preact/signals";
import { useRef } from "preact/hooks";
import { t } from "../i18n";
import { Heading } from "./GuestShell";
import { looksLikePhone } from "./phone";
import type { Visit } from "./visit";

const ADDRESS_MOST = 300;
const PHONE_MOST = 40;

export function PlaceStep({ visit }: { visit: Visit }) {
  const address = useSignal(visit.seat.value?.place?.address ?? "");
  const phone = useSignal(visit.seat.value?.place?.phone ?? "");
  const busy = useSignal(false);
  const failed = useSignal(false);
  /** The number that was asked about: the same one again is taken as it is. */
  const doubted = useSignal<string | null>(null);
  const phoneInput = useRef<HTMLInputElement>(null);
  const skip = () => {
    visit.placeSkipped.value = true;
  };
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    const where = { address: address.value.trim(), phone: phone.value.trim() };
    if (where.address === "" && where.phone === "") {
      skip();
      return;
    }
    if (where.phone !== "" && !looksLikePhone(where.phone) && doubted.value !== where.phone) {
      doubted.value = where.phone;
      phoneInput.current?.focus();
      return;
    }
    busy.value = true;
    failed.value = false;
    const told = await visit.tellPlace(where);
    busy.value = false;
    failed.value = !told;
    if (told) skip();
  };
  return (
    <section class="column" data-stage="place">
      <Heading>{t(visit.seat.value?.role === "relative" ? "your_place.title_relative" : "your_place.title")}</Heading>
      <p class="lead">{t("your_place.why")}</p>
      <form class="join-form" onSubmit={(event) => void submit(event)}>
        <label class="field">
          <span>{t("your_place.address")}</span>
          <input
            name="address"
            autocomplete="street-address"
            maxLength={ADDRESS_MOST}
            value={address.value}
            onInput={(event) => {
              address.value = event.currentTarget.value;
            }}
          />
        </label>
        <label class="field">
          <span>{t("your_place.phone")}</span>
          <input
            ref={phoneInput}
            name="phone"
            aria-describedby={doubted.value === null ? undefined : "phone-doubt"}
            type="tel"
            inputMode="tel"
            autocomplete="tel"
            maxLength={PHONE_MOST}
            value={phone.value}
            onInput={(event) => {
              phone.value = event.currentTarget.value;
            }}
          />
        </label>
        <div role="status">
          {doubted.value !== null && doubted.value === phone.value.trim() && (
            <p class="trouble" id="phone-doubt">
              {t("your_place.phone_doubt")}
            </p>
          )}
        </div>
        {failed.value && (
          <p class="trouble" role="alert">
            {t("your_place.failed")}
          </p>
        )}
        <button type="submit" class="big primary is-main" aria-disabled={busy.value}>
          {t("your_place.go_on")}
        </button>
        <button type="button" class="big" onClick={skip}>
          {t("your_place.skip")}
        </button>
      </form>
    </section>
  );
}

/** Where the patient is, for an ambulance, and the number to call when the line drops. */
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { staff } from "../api/staff";
import { t } from "../i18n";
import { clockTime } from "../i18n/numbers";
import { useAsking } from "../parts/asking";
import { Field, Refusal } from "../parts/Field";
import { Icon } from "../parts/Icon";

export function PlaceForm({ consultation, locked }: { consultation: string; locked: boolean }) {
  const address = useSignal("");
  const phone = useSignal("");
  const savedAt = useSignal<number | null>(null);
  const asking = useAsking();
  useEffect(() => {
    void asking.ask(async () => {
      const place = await staff.place(consultation);
      address.value = place?.address ?? "";
      phone.value = place?.phone ?? "";
    });
  }, [consultation]);
  const save = async () => {
    const place = { address: address.value.trim(), phone: phone.value.trim() };
    if ((await asking.ask(() => staff.setPlace(consultation, place))) !== undefined) savedAt.value = Date.now();
  };
  const number = phone.value.replace(/[^+\d]/g, "");
  return (
    <form
      class="form place"
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        void save();
      }}
    >
      <h2>{t("whereabouts.title")}</h2>
      <Field
        label={t("whereabouts.address")}
        hint={t("whereabouts.address_hint")}
        value={address.value}
        maxLength={300}
        onInput={(value) => {
          address.value = value;
          savedAt.value = null;
        }}
      />
      <Field
        label={t("whereabouts.phone")}
        type="tel"
        mode="tel"
        value={phone.value}
        maxLength={40}
        onInput={(value) => {
          phone.value = value;
          savedAt.value = null;
        }}
      />
      <Refusal error={asking.fault.value} />
      <div class="place-actions">
        <button type="submit" class="button large" disabled={asking.busy.value || locked}>
          {t("whereabouts.save")}
        </button>
        {number !== "" && (
          <a class="button large" href={`tel:${number}`}>
            <Icon name="phone" />
            {t("whereabouts.call")}
          </a>
        )}
        <p class="muted" role="status">
          {savedAt.value === null ? "" : t("whereabouts.saved", { time: clockTime(savedAt.value) })}
        </p>
      </div>
    </form>
  );
}

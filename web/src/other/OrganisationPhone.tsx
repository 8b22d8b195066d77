/** The number that patients call when a line drops: on every invitation and on the patient's page. */
import { useSignal } from "@preact/signals";
import { staff } from "../api/staff";
import { t } from "../i18n";
import { clockTime } from "../i18n/numbers";
import { account } from "../parts/account";
import { useAsking } from "../parts/asking";
import { Field, Refusal } from "../parts/Field";

export function OrganisationPhone() {
  const phone = useSignal(account.value?.organisation.phone ?? "");
  const savedAt = useSignal<number | null>(null);
  const asking = useAsking();
  const save = async () => {
    const wanted = phone.value.trim();
    if ((await asking.ask(() => staff.setOrganisationPhone(wanted).then(() => true))) === undefined) return;
    savedAt.value = Date.now();
    const who = account.value;
    if (who) account.value = { ...who, organisation: { ...who.organisation, phone: wanted } };
  };
  return (
    <form
      class="form organisation-phone"
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        void save();
      }}
    >
      <Field
        label={t("organisation.phone")}
        hint={t("organisation.phone_hint")}
        type="tel"
        mode="tel"
        maxLength={40}
        value={phone.value}
        onInput={(value) => {
          phone.value = value;
          savedAt.value = null;
        }}
      />
      <Refusal error={asking.fault.value} />
      <div class="place-actions">
        <button type="submit" class="button primary" disabled={asking.busy.value}>
          {t("whereabouts.save")}
        </button>
        <p class="muted" role="status">
          {savedAt.value === null ? "" : t("whereabouts.saved", { time: clockTime(savedAt.value) })}
        </p>
      </div>
    </form>
  );
}

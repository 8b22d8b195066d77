/** Where the patient is, for an ambulance, and the telephone for when the line drops. */
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { ApiError } from "../api/client";
import { staff } from "../api/staff";
import type { ConsultationInfo } from "../api/types";
import { errorSentence, t } from "../i18n";
import { Icon } from "../parts/Icon";
import { ErrorNote } from "../parts/Shell";
import type { PlaceShown } from "../protocol/people";

const ADDRESS_MOST = 300;
const PHONE_MOST = 40;
const NOWHERE: PlaceShown = { address: "", phone: "" };

export function PlaceCard({ id, editable, info }: { id: string; editable: boolean; info: ConsultationInfo }) {
  const place = useSignal<PlaceShown | null>(null);
  const editing = useSignal(false);
  const fault = useSignal<ApiError | null>(null);
  const read = async () => {
    try {
      place.value = await staff.place(id);
      fault.value = null;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      fault.value = error;
    }
  };
  // Whatever changes about the consultation may have changed the place: the patient can write it too.
  useEffect(() => void read(), [id, info]);
  const save = async (wanted: PlaceShown) => {
    try {
      place.value = await staff.setPlace(id, wanted);
      fault.value = null;
      editing.value = false;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      fault.value = error;
    }
  };
  const shown = place.value ?? NOWHERE;
  // That nobody knows it is said only when the server said so.
  const known = place.value !== null;
  return (
    <section class="place" aria-label={t("where.title")}>
      <h3>{t("where.title")}</h3>
      {fault.value !== null && <ErrorNote sentence={errorSentence(fault.value.code, fault.value.params)} />}
      {editing.value ? (
        <PlaceForm shown={shown} onSave={save} onClose={() => (editing.value = false)} />
      ) : (
        <>
          <p class="place-address" data-place="address">
            {shown.address === "" ? (
              <span class="muted">{t(known ? "where.no_address" : "shell.connecting")}</span>
            ) : (
              shown.address
            )}
          </p>
          <p data-place="phone">
            {shown.phone === "" ? (
              <span class="muted">{t(known ? "where.no_phone" : "shell.connecting")}</span>
            ) : (
              <a class="button phone-link" href={`tel:${shown.phone.replace(/[^\d+]/g, "")}`}>
                <Icon name="phone" size={20} />
                {shown.phone}
              </a>
            )}
          </p>
          {editable && (
            <button type="button" class="button" data-command="place" onClick={() => (editing.value = true)}>
              <Icon name="pen" size={20} />
              {t("where.edit")}
            </button>
          )}
        </>
      )}
      <p class="place-112">{t("where.emergency")}</p>
    </section>
  );
}

function PlaceForm(props: { shown: PlaceShown; onSave: (place: PlaceShown) => Promise<void>; onClose: () => void }) {
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget as HTMLFormElement);
    void props.onSave({ address: String(form.get("address")).trim(), phone: String(form.get("phone")).trim() });
  };
  return (
    <form class="place-form" onSubmit={submit}>
      <label>
        <span>{t("where.address")}</span>
        <textarea
          name="address"
          rows={3}
          maxLength={ADDRESS_MOST}
          autocomplete="street-address"
          defaultValue={props.shown.address}
        />
      </label>
      <label>
        <span>{t("where.phone")}</span>
        <input name="phone" type="tel" maxLength={PHONE_MOST} autocomplete="tel" defaultValue={props.shown.phone} />
      </label>
      <p class="panel-actions">
        <button type="submit" class="button primary">
          {t("where.save")}
        </button>
        <button type="button" class="button" onClick={props.onClose}>
          {t("where.cancel")}
        </button>
      </p>
    </form>
  );
}

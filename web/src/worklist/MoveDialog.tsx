/** The appointment gets another time. Links that were given out stay good. */
import { staff } from "../api/staff";
import type { ConsultationInfo } from "../api/types";
import { t } from "../i18n";
import { useAsking } from "../parts/asking";
import { Dialog } from "../parts/Dialog";
import { Refusal } from "../parts/Field";
import { patientName } from "../parts/patient";
import { chosenInstant, useWhen, WhenFields } from "./WhenFields";

export function MoveDialog(props: { consultation: ConsultationInfo; onClose: () => void }) {
  const { consultation } = props;
  const when = useWhen(consultation.scheduled_at, consultation.minutes);
  const asking = useAsking();
  const at = chosenInstant(when);
  const move = async () => {
    if (at === null) return;
    const moved = await asking.ask(() => staff.move(consultation.id, new Date(at).toISOString(), when.minutes.value));
    if (moved !== undefined) props.onClose();
  };
  return (
    <Dialog title={t("move.title", { patient: patientName(consultation.patient) })} onClose={props.onClose}>
      <form
        class="form"
        onSubmit={(event) => {
          event.preventDefault();
          void move();
        }}
      >
        <WhenFields when={when} />
        <p class="muted">{t("move.links_stay")}</p>
        <Refusal error={asking.fault.value} />
        <div class="dialog-actions">
          <button type="button" class="button" onClick={props.onClose}>
            {t("dialog.back")}
          </button>
          <button type="submit" class="button primary" disabled={asking.busy.value || at === null}>
            {t("move.save")}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

/** Arrived, did not come, cancelled: asked once, because none of them can be taken back. */

import { staff } from "../api/staff";
import type { ConsultationInfo } from "../api/types";
import { t } from "../i18n";
import type { Key } from "../i18n/keys";
import { useAsking } from "../parts/asking";
import { Dialog } from "../parts/Dialog";
import { Refusal } from "../parts/Field";
import { patientName } from "../parts/patient";

export type Sure = "arrive" | "miss" | "cancel";

const WORDS: Record<Sure, { readonly title: Key; readonly text: Key; readonly yes: Key }> = {
  arrive: { title: "sure.arrive_title", text: "sure.arrive_text", yes: "sure.arrive_yes" },
  miss: { title: "sure.miss_title", text: "sure.miss_text", yes: "sure.miss_yes" },
  cancel: { title: "sure.cancel_title", text: "sure.cancel_text", yes: "sure.cancel_yes" },
};

export function SureDialog(props: { what: Sure; consultation: ConsultationInfo; onClose: () => void }) {
  const { what, consultation } = props;
  const words = WORDS[what];
  const asking = useAsking();
  const act = async () => {
    if ((await asking.ask(() => staff[what](consultation.id))) !== undefined) props.onClose();
  };
  return (
    <Dialog title={t(words.title)} onClose={props.onClose}>
      <p>{t(words.text, { patient: patientName(consultation.patient) })}</p>
      <Refusal error={asking.fault.value} />
      <div class="dialog-actions">
        <button type="button" class="button" onClick={props.onClose}>
          {t("dialog.back")}
        </button>
        <button
          type="button"
          class={`button ${what === "arrive" ? "primary" : "danger"}`}
          disabled={asking.busy.value}
          onClick={() => void act()}
        >
          {t(words.yes)}
        </button>
      </div>
    </Dialog>
  );
}

/** Asks before a consultation is ended for everybody. */
import { t } from "../i18n";
import { Dialog } from "../parts/Dialog";

export function EndDialog({ onClose, onEnd }: { onClose: () => void; onEnd: () => void }) {
  return (
    <Dialog title={t("live.end_title")} onClose={onClose}>
      <p>{t("live.end_text")}</p>
      <div class="dialog-actions">
        <button type="button" class="button" onClick={onClose}>
          {t("live.end_no")}
        </button>
        <button type="button" class="button danger" onClick={onEnd}>
          {t("live.end_yes")}
        </button>
      </div>
    </Dialog>
  );
}

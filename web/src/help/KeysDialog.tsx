/** The list of keys over the page that was asked for it. */
import { t } from "../i18n";
import { Dialog } from "../parts/Dialog";
import { KeyTable } from "./HelpPage";

export function KeysDialog({ onClose }: { onClose: () => void }) {
  return (
    <Dialog title={t("help.keys_title")} onClose={onClose}>
      <KeyTable />
      <p class="small-print">{t("disclaimer.short")}</p>
      <div class="dialog-actions">
        <button type="button" class="button primary" onClick={onClose}>
          {t("live.close")}
        </button>
      </div>
    </Dialog>
  );
}

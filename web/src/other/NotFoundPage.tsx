/** An address that names no page. */
import { t } from "../i18n";
import { Shell } from "../parts/Shell";
import { addressOf } from "../router";

export function NotFoundPage() {
  return (
    <Shell>
      <div class="page plain">
        <h1>{t("not_found.title")}</h1>
        <p>{t("not_found.text")}</p>
        <p>
          <a class="button primary" href={addressOf({ page: "worklist" })}>
            {t("nav.worklist")}
          </a>
        </p>
      </div>
    </Shell>
  );
}

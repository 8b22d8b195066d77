/** This browser cannot hold a call: which can, and the link to take there. */
import { useSignal } from "@preact/signals";
import { INSIDE_APP, SYSTEM, type Unfit } from "../check/browser";
import { t } from "../i18n";
import { Heading, Phone } from "./GuestShell";

export function UnfitPage({ unfit, phone }: { unfit: Exclude<Unfit, null>; phone?: string | undefined }) {
  return (
    <section class="column" data-fault={unfit}>
      <Heading>{t("join.unfit_title")}</Heading>
      <p class="lead">{t(unfit === "insecure" ? "join.unfit_insecure" : "join.unfit_text")}</p>
      <p class="lead">{t(SYSTEM === "ios" || SYSTEM === "mac" ? "join.unfit_which_apple" : "join.unfit_which")}</p>
      <CopyLink />
      <Phone number={phone} words={t("visit.call_us")} />
    </section>
  );
}

/** Inside a messenger the camera is often not there: say how to get out. */
export function InsideAppNote() {
  if (!INSIDE_APP) return null;
  return (
    <div class="trouble" role="note">
      <p>{t("join.inside_app")}</p>
      <CopyLink />
    </div>
  );
}

function CopyLink() {
  const copied = useSignal(false);
  if (navigator.clipboard === undefined) return null;
  return (
    <button
      type="button"
      class="big"
      onClick={async () => {
        await navigator.clipboard.writeText(location.href).catch(() => undefined);
        copied.value = true;
      }}
    >
      <span aria-live="polite">{t(copied.value ? "join.copied" : "join.copy_link")}</span>
    </button>
  );
}

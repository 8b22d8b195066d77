/** The public page of the device and call check: nobody needs an invitation to try. */
import { useSignal } from "@preact/signals";
import { t } from "../i18n";
import { Emergency, GuestShell } from "../visit/GuestShell";
import { UnfitPage } from "../visit/UnfitPage";
import { unfitHere } from "./browser";
import { CheckFlow } from "./CheckFlow";

export function CheckPage() {
  const step = useSignal("camera");
  const unfit = unfitHere();
  return (
    <GuestShell step={step.value}>
      {unfit !== null ? (
        <UnfitPage unfit={unfit} />
      ) : (
        <CheckFlow
          onStep={(name) => {
            step.value = name;
          }}
          done={
            <>
              <p class="lead">{t("check.close_page")}</p>
              <Emergency />
            </>
          }
        />
      )}
    </GuestShell>
  );
}

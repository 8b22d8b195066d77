/** The line to the server is gone: since how many seconds, that nothing is to be done, and whom to call. */
import { useComputed } from "@preact/signals";
import { t } from "../i18n";
import { Icon } from "../parts/Icon";
import { now } from "../parts/ticking";
import type { Visit } from "./visit";

/** A hiccup is no notice. */
const QUIET_MS = 1_500;
/** A screen reader hears the notice once and then each so many seconds. */
const SPOKEN_EVERY_S = 30;

export function LineLost({ visit }: { visit: Visit }) {
  const seconds = useComputed(() => {
    now.value;
    const lostAt = visit.room.value?.lostAtMs.value ?? null;
    const ms = lostAt === null ? 0 : performance.now() - lostAt;
    return ms < QUIET_MS ? null : Math.floor(ms / 1000);
  });
  const gone = seconds.value;
  const spoken = gone === null ? null : Math.floor(gone / SPOKEN_EVERY_S) * SPOKEN_EVERY_S;
  const phone = visit.phone.value ?? "";
  return (
    <>
      <div class="visually-hidden" role="alert">
        {spoken !== null && (spoken === 0 ? t("lost.title") : t("lost.since", { seconds: spoken }))}
        {spoken !== null && ` ${t("lost.spoken", { phone: phone === "" ? "none" : phone })}`}
      </div>
      {gone !== null && (
        <div class="line-lost" data-lost={gone}>
          <Icon name="warning" size={28} />
          <div>
            <p>
              <strong class="numbers">{t("lost.since", { seconds: gone })}</strong> {t("lost.wait")}
            </p>
            {phone !== "" && (
              <p>
                {t("lost.call")}{" "}
                <a class="numbers" href={`tel:${phone.replace(/[^+0-9]/g, "")}`}>
                  {phone}
                </a>
              </p>
            )}
          </div>
        </div>
      )}
    </>
  );
}

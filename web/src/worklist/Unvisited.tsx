/** What was measured at stations without a visit: a clinician opens the review of it. Nothing while there is none. */
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { staff } from "../api/staff";
import type { IntervalInfo } from "../api/types";
import { t } from "../i18n";
import { workListChanged } from "../notices/notices";
import { account } from "../parts/account";
import { useAsking } from "../parts/asking";
import { Refusal } from "../parts/Field";
import { Icon } from "../parts/Icon";
import { bornWords, patientName } from "../parts/patient";
import { whenWords } from "../parts/when";
import { go } from "../router";

export function Unvisited() {
  const found = useSignal<readonly IntervalInfo[]>([]);
  const opening = useAsking();
  const changed = workListChanged.value;
  useEffect(() => {
    let gone = false;
    // Without an answer the list stays as it was: the page's own list says what is wrong with the line.
    staff.unvisited().then(
      (intervals) => {
        if (!gone) found.value = intervals;
      },
      () => undefined,
    );
    return () => {
      gone = true;
    };
  }, [changed, found]);
  const open = async (one: IntervalInfo) => {
    const me = account.value?.id;
    if (me === undefined) return;
    const visit = await opening.ask(() => staff.makeVisit(one.id, me));
    if (visit !== undefined) go({ page: "review", id: visit.id });
  };
  if (found.value.length === 0) return null;
  return (
    <section aria-labelledby="unvisited-title">
      <h2 id="unvisited-title">
        {t("worklist.unvisited")} <span class="count">{found.value.length}</span>
      </h2>
      <Refusal error={opening.fault.value} />
      <ul class="rows">
        {found.value.map((one) => (
          <li key={one.id} class="row" data-interval={one.id}>
            <span class="row-face">
              <Icon name="person" size={26} />
            </span>
            <div class="row-who">
              <strong>{patientName(one.patient)}</strong>
              <span class="muted">{bornWords(one.patient)}</span>
            </div>
            <div class="row-where">
              <span>{one.station.name}</span>
              <span class="muted">{one.station.place}</span>
            </div>
            <div class="row-state">
              <span class="muted numbers">
                {t("worklist.from_to", { from: whenWords(one.opened_at), to: whenWords(one.closed_at) })}
              </span>
            </div>
            <div class="row-actions">
              <button
                type="button"
                class="button"
                data-action="open-interval"
                disabled={opening.busy.value}
                onClick={() => void open(one)}
              >
                {t("worklist.open_interval")}
                <span class="visually-hidden"> {patientName(one.patient)}</span>
              </button>
            </div>
          </li>
        ))}
      </ul>
    </section>
  );
}

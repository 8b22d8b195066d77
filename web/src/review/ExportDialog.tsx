/** The shown window as files for other programs: in which format, what they will hold, what is kept out, and where it is. */
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { type ExportFormat, review as stored } from "../api/review";
import { t } from "../i18n";
import type { Key } from "../i18n/keys";
import { decimal } from "../i18n/numbers";
import { useAsking } from "../parts/asking";
import { OriginBadge } from "../parts/badges";
import { Dialog } from "../parts/Dialog";
import { OneOf, Refusal } from "../parts/Field";
import { Icon } from "../parts/Icon";
import type { Origin } from "../protocol/messages";
import { EXPORT_MAX_S, type ExportPlan, exportedOf, FORMATS, hasAny, megabytes, planOf, takes } from "./exporting";
import type { Review } from "./store";
import { lengthS } from "./window";
import { kindWords, lengthWords, momentWords } from "./words";

const FORMAT_WORDS: Record<ExportFormat, Key> = { edf: "export.edf", wfdb: "export.wfdb", csv: "export.csv" };
const FORMAT_TEXT: Record<ExportFormat, Key> = {
  edf: "export.edf_text",
  wfdb: "export.wfdb_text",
  csv: "export.csv_text",
};
/** Below this a size in MB says nothing. */
const LEAST_MB = 0.1;

export function ExportDialog({ review, onClose }: { review: Review; onClose: () => void }) {
  const asking = useAsking();
  const format = useSignal<ExportFormat>("edf");
  const identified = useSignal(false);
  const done = useSignal<string | null>(null);
  const giveUp = useRef<AbortController | null>(null);
  useEffect(() => () => giveUp.current?.abort(), []);
  const answer = review.answer.value;
  if (answer === null) return null;
  const { fromUs, toUs } = exportedOf(review.window.value, review.whole);
  const plan = planOf(answer, { fromUs, toUs });
  const possible = hasAny(plan) && takes(plan, format.value);
  const begin = async () => {
    const running = new AbortController();
    giveUp.current = running;
    done.value = null;
    const wish = { format: format.value, from_us: fromUs, to_us: toUs, identified: identified.value };
    const file = await asking.ask(() => stored.exported(review.id, wish, running.signal));
    // Whoever gave it up is not told that there is no connection.
    if (running.signal.aborted) asking.fault.value = null;
    else if (file !== undefined) {
      save(file.name, file.data);
      done.value = t("export.done", { name: file.name, size: decimal(file.data.size / 1e6, 1) });
    }
  };
  return (
    <Dialog title={t("export.title")} onClose={onClose}>
      <div class="export wide-dialog">
        <p class="numbers">
          {t("export.window", {
            from: momentWords(fromUs, review.whole),
            to: momentWords(toUs, review.whole),
            length: lengthWords(lengthS({ fromUs, toUs })),
          })}
        </p>
        {hasAny(plan) && (
          <OneOf
            legend={t("export.format")}
            value={format.value}
            options={FORMATS.map((one) => [one, t(FORMAT_WORDS[one])] as const)}
            onChange={(chosen) => {
              format.value = chosen;
              done.value = null;
            }}
          />
        )}
        <Contents plan={plan} format={format.value} />
        {hasAny(plan) && (
          <label class="tick">
            <input
              type="checkbox"
              checked={identified.value}
              onChange={({ currentTarget }) => {
                identified.value = currentTarget.checked;
              }}
            />
            <span>
              {t("export.identified")}
              <span class="field-hint">{t("export.identified_text")}</span>
            </span>
          </label>
        )}
        <Refusal error={asking.fault.value} />
        <p class="export-state" role="status">
          {asking.busy.value ? t("export.preparing") : done.value}
        </p>
      </div>
      <div class="dialog-actions">
        <button type="button" class="button" onClick={onClose}>
          {asking.busy.value ? t("export.give_up") : t("live.close")}
        </button>
        {possible && (
          <button
            type="button"
            class="button primary"
            data-command="export-now"
            disabled={asking.busy.value}
            onClick={() => void begin()}
          >
            <Icon name="download" size={20} />
            {t("export.download")}
          </button>
        )}
      </div>
    </Dialog>
  );
}

function Contents({ plan, format }: { plan: ExportPlan; format: ExportFormat }) {
  const size = megabytes(plan, format);
  return (
    <>
      {!hasAny(plan) && (
        <p class="note is-warning" data-export="nothing">
          {plan.leftOut.length > 0 ? t("export.nothing_measured") : t("export.nothing")}
        </p>
      )}
      {hasAny(plan) && (
        <section aria-labelledby="export-contents">
          <h3 id="export-contents">{t("export.contents")}</h3>
          <ul class="export-list">
            {plan.signals.map((one) => (
              <li key={`${one.kind} ${one.device}`}>
                <strong>{kindWords(one.kind)}</strong>{" "}
                <span class="muted">
                  {t("export.signal", {
                    device: one.device,
                    channels: one.channels.length,
                    rate: decimal(one.rateHz, one.rateHz % 1 ? 1 : 0),
                    length: lengthWords(one.seconds),
                  })}
                </span>
              </li>
            ))}
            {plan.numbers.map(({ kind, count }) => (
              <li key={kind}>
                <strong>{kindWords(kind)}</strong> <span class="muted">{t("export.values", { count })}</span>
              </li>
            ))}
            {plan.moreNumbers && <li class="muted">{t("export.more_values")}</li>}
          </ul>
          <p class="muted">
            {t(FORMAT_TEXT[format])} {size >= LEAST_MB && t("export.size", { size: decimal(size, size < 10 ? 1 : 0) })}
          </p>
          {!takes(plan, format) && (
            <p class="note is-warning">
              {plan.tooLong ? t("export.too_long", { hours: EXPORT_MAX_S / 3_600 }) : t("export.too_long_csv")}
            </p>
          )}
        </section>
      )}
      {plan.leftOut.length > 0 && (
        <section aria-labelledby="export-left-out">
          <h3 id="export-left-out">{t("export.left_out")}</h3>
          <ul class="export-list">
            {plan.leftOut.map((one) => (
              <li key={`${one.kind} ${one.device} ${one.origin}`}>
                {kindWords(one.kind)} <span class="muted">{one.device}</span>{" "}
                <OriginBadge origin={one.origin as Origin} />
              </li>
            ))}
          </ul>
        </section>
      )}
    </>
  );
}

/** How long the browser may take to begin reading what it was told to keep. */
const READ_MS = 60_000;

/** Have the browser keep the data as a file of this name. */
function save(name: string, data: Blob): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(data);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), READ_MS);
}

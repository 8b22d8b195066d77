/** A provisional patient turned out to be somebody: the right one is found, both are compared, and then it is done. */
import { useSignal } from "@preact/signals";
import { type PatientRecord, staff } from "../api/staff";
import { t } from "../i18n";
import type { Key } from "../i18n/keys";
import { clockTime, day } from "../i18n/numbers";
import { useAsking } from "../parts/asking";
import { Dialog } from "../parts/Dialog";
import { Choose, Refusal } from "../parts/Field";
import { identifierWords, PatientPicker } from "./PatientPicker";

const REASONS = {
  same_person: "merge.same_person",
  typing_error: "merge.typing_error",
  other: "merge.other",
} as const satisfies Record<string, Key>;
type Reason = keyof typeof REASONS;

export function MergeDialog(props: {
  /** null: it is found first. */
  provisional: PatientRecord | null;
  /** What has to be done before the entry can be merged. */
  first: (() => Promise<void>) | null;
  onClose: () => void;
  onMerged: () => void;
}) {
  const provisional = useSignal<PatientRecord | null>(props.provisional);
  const right = useSignal<PatientRecord | null>(null);
  const reason = useSignal<Reason>("same_person");
  const asking = useAsking();
  const into = right.value;
  const from = provisional.value;
  const merge = async (one: PatientRecord, to: PatientRecord) => {
    const done = await asking.ask(async () => {
      await props.first?.();
      await staff.merge(one.id, to.id, reason.value);
      return true;
    });
    if (done) props.onMerged();
  };
  return (
    <Dialog title={t("merge.title")} onClose={props.onClose}>
      <div class="wide-dialog">
        {from === null || into === null ? (
          <>
            <p>{from === null ? t("merge.which") : t("merge.text", { patient: from.name ?? "" })}</p>
            <PatientPicker
              key={from?.id ?? ""}
              only={(one) => (from === null ? one.provisional : one.id !== from.id && !one.provisional)}
              pick={from === null ? t("patients.choose") : t("merge.compare")}
              onPick={(patient) => {
                if (from === null) provisional.value = patient;
                else right.value = patient;
              }}
            />
            <div class="dialog-actions">
              <button type="button" class="button" onClick={props.onClose}>
                {t("dialog.back")}
              </button>
            </div>
          </>
        ) : (
          <>
            <table class="compare">
              <thead>
                <tr>
                  <td />
                  <th scope="col">{t("merge.provisional")}</th>
                  <th scope="col">{t("merge.right")}</th>
                </tr>
              </thead>
              <tbody>
                <Compared words={t("patients.name")} left={from.name} right={into.name} />
                <Compared
                  words={t("patients.year")}
                  left={from.birth_year?.toString() ?? null}
                  right={into.birth_year?.toString() ?? null}
                />
                <Compared
                  words={t("identifier.title")}
                  left={from.identifiers.map(identifierWords).join("\n")}
                  right={into.identifiers.map(identifierWords).join("\n")}
                />
                <Compared words={t("merge.entered")} left={enteredWords(from)} right={enteredWords(into)} />
              </tbody>
            </table>
            <Choose
              label={t("merge.reason")}
              value={reason.value}
              onChange={(value) => {
                reason.value = value as Reason;
              }}
            >
              {(Object.keys(REASONS) as Reason[]).map((one) => (
                <option key={one} value={one}>
                  {t(REASONS[one])}
                </option>
              ))}
            </Choose>
            <p class="invite-once">
              {t("merge.for_good")} {props.first !== null && t("merge.disconnects")}
            </p>
            <Refusal error={asking.fault.value} />
            <div class="dialog-actions">
              <button
                type="button"
                class="button"
                onClick={() => {
                  asking.fault.value = null;
                  right.value = null;
                }}
              >
                {t("merge.other_one")}
              </button>
              <button
                type="button"
                class="button danger"
                disabled={asking.busy.value}
                onClick={() => void merge(from, into)}
              >
                {t("merge.yes")}
              </button>
            </div>
          </>
        )}
      </div>
    </Dialog>
  );
}

function enteredWords(patient: PatientRecord): string {
  const at = Date.parse(patient.created_at);
  return `${day(at)}, ${clockTime(at)}`;
}

function Compared(props: { words: string; left: string | null; right: string | null }) {
  const left = props.left === null || props.left === "" ? "-" : props.left;
  const right = props.right === null || props.right === "" ? "-" : props.right;
  return (
    <tr class={left === right ? "" : "is-different"}>
      <th scope="row">{props.words}</th>
      <td>{left}</td>
      <td>{right}</td>
    </tr>
  );
}

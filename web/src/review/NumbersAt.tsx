/** The numbers as they stood at the cursor, each with its time and source; and where signals are missing. */
import { language, t } from "../i18n";
import type { Key } from "../i18n/keys";
import { DerivedBadge, OriginBadge } from "../parts/badges";
import type { Numeric } from "../protocol/messages";
import { CONTINUOUS_KINDS, GONE_AFTER_MS, valueText } from "../vitals/numerics";
import { sourceWords } from "../vitals/source";
import { numbersAt } from "./project";
import type { Review } from "./store";
import { kindWords, lengthWords, momentWords } from "./words";

const ROWS: readonly (readonly [string, Key, Key])[] = [
  ["heart_rate", "numeric.heart_rate", "unit.beats"],
  ["pulse_rate", "numeric.pulse_rate", "unit.beats"],
  ["spo2", "numeric.spo2", "unit.percent"],
  ["respiration_rate", "numeric.respiration_rate", "unit.breaths"],
  ["blood_pressure", "numeric.blood_pressure", "unit.mmhg"],
  ["temperature", "numeric.temperature", "unit.celsius"],
];

/** What we computed while it was live, and from which wave. */
const DERIVED_FROM: Record<string, string> = { heart_rate: "ecg", respiration_rate: "respiration" };

/** A list of more is not read; the hatched paper and the strip above show every gap. */
const GAPS_MOST = 50;

export function NumbersAt({ review, cursorUs }: { review: Review; cursorUs: number }) {
  const answer = review.answer.value;
  const notStored = (kind: string) =>
    answer?.streams.some((stream) => stream.kind === DERIVED_FROM[kind]) === true &&
    !answer.numerics.some((numeric) => numeric.kind === kind);
  const numerics = answer?.numerics ?? [];
  // Later ones than the page was given are not here: nothing stands for them.
  const beyond = answer?.numerics_truncated === true && cursorUs > (numerics.at(-1)?.at_us ?? 0);
  const found = beyond ? new Map<string, Numeric>() : numbersAt(numerics, cursorUs);
  return (
    <aside class="numbers-at" aria-labelledby="numbers-at-title">
      <h2 id="numbers-at-title">
        {t("review.numbers_at")} <span class="numbers">{momentWords(cursorUs, review.whole)}</span>
      </h2>
      <table>
        <tbody>
          {ROWS.map(([kind, name, unit]) => (
            <NumberRow
              key={kind}
              name={t(name)}
              unit={t(unit)}
              numeric={current(found.get(kind), cursorUs)}
              kind={kind}
              atUs={cursorUs}
              notStored={notStored(kind)}
            />
          ))}
        </tbody>
      </table>
      {beyond && <p class="note">{t("review.numbers_truncated")}</p>}
      {answer !== null && answer.gaps.length > 0 && (
        <>
          <h2>{t("review.gaps")}</h2>
          <ul class="gap-list">
            {answer.gaps.slice(0, GAPS_MOST).map((gap) => (
              <li key={`${gap.kind} ${gap.from_us}`}>
                <span>{kindWords(gap.kind)}</span>
                <span class="numbers">{momentWords(gap.from_us, review.whole)}</span>
                <span class="numbers">{lengthWords((gap.to_us - gap.from_us) / 1e6)}</span>
              </li>
            ))}
          </ul>
          {answer.gaps.length > GAPS_MOST && (
            <p class="muted">{t("review.gaps_more", { count: answer.gaps.length - GAPS_MOST })}</p>
          )}
        </>
      )}
    </aside>
  );
}

/** A continuous number is of its moment only; a single measurement stays until the next. */
function current(numeric: Numeric | undefined, atUs: number): Numeric | undefined {
  if (numeric === undefined || !CONTINUOUS_KINDS.has(numeric.kind)) return numeric;
  return atUs - numeric.at_us > GONE_AFTER_MS * 1000 ? undefined : numeric;
}

interface NumberRowProps {
  readonly kind: string;
  /** The cursor. */
  readonly atUs: number;
  readonly name: string;
  readonly unit: string;
  readonly numeric: Numeric | undefined;
  /** It could only have been computed live, and such numbers are not kept. */
  readonly notStored: boolean;
}

function NumberRow(props: NumberRowProps) {
  const { numeric } = props;
  return (
    <tr data-kind={props.kind}>
      <th scope="row">
        {props.name}
        <span class="muted">{props.unit}</span>
      </th>
      <td>
        {numeric === undefined && props.notStored ? (
          <span class="muted row-source">{t("review.derived_not_stored")}</span>
        ) : (
          <output class={`numbers ${numeric?.derived ? "is-derived" : ""}`}>
            {numeric === undefined ? "--" : (valueText(numeric, language.value) ?? "--")}
          </output>
        )}
        {numeric?.derived && <DerivedBadge />}
        {numeric !== undefined && (
          <span class="muted row-source">
            {sourceWords(numeric)} ·{" "}
            <span class="numbers">{momentWords(numeric.at_us, { fromUs: numeric.at_us, toUs: props.atUs })}</span>
          </span>
        )}
        <OriginBadge origin={numeric?.origin} />
      </td>
    </tr>
  );
}

/** The trend as a table: what was read in each stretch of time, least to greatest where it moved. */
import { useMemo } from "preact/hooks";
import type { TrendAnswer } from "../api/types";
import { language, t } from "../i18n";
import { withDecimalMark } from "../i18n/numbers";
import { OriginBadge } from "../parts/badges";
import { panelsOf, tableOf } from "./trend";
import type { Extent } from "./window";
import { kindWords, lengthWords, momentWords, unitWords } from "./words";

interface TrendTableProps {
  /** Null while it is asked for. */
  readonly answer: TrendAnswer | null;
  readonly grid: { readonly fromUs: number; readonly stepUs: number; readonly rows: number };
  readonly whole: Extent;
  /** There is nothing to draw, only to read. */
  readonly few: boolean;
}

export function TrendTable({ answer, grid, whole, few }: TrendTableProps) {
  const table = useMemo(() => (answer === null ? null : tableOf(panelsOf(answer))), [answer]);
  language.value;
  if (table === null || answer === null || table.rows.length === 0) return null;
  const stepUs = (answer.to_us - answer.from_us) / answer.columns;
  const seconds = grid.stepUs < 60e6;
  return (
    // Focusable, so that the arrow keys scroll it.
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls
    <div class="trend-table" role="region" aria-labelledby="trends-title" tabIndex={0}>
      <table>
        <caption>
          {t("trend.table_text", { length: lengthWords(grid.stepUs / 1e6) })} {few && t("trend.few")}
        </caption>
        <thead>
          <tr>
            <th scope="col">{t("trend.time")}</th>
            {table.lines.map((line) => (
              <th key={`${line.kind} ${line.source} ${line.origin}`} scope="col">
                {kindWords(line.kind)} <span class="muted">{unitWords(line.kind, line.unit)}</span>
                <span class="muted row-source">{line.source}</span>
                <OriginBadge origin={line.origin} />
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {table.rows.map(({ column, cells }) => (
            <tr key={column}>
              <th scope="row" class="numbers">
                {momentWords(answer.from_us + column * stepUs, whole, seconds)}
              </th>
              {cells.map((mark, i) => (
                <td key={i} class="numbers">
                  {mark === null ? "" : withDecimalMark(mark.words)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

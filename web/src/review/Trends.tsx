/** The devices' numbers over time: panels under one cursor with the waves, or a table of the same. */
import { type Signal, useComputed, useSignal } from "@preact/signals";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { errorSentence, language, t } from "../i18n";
import { withDecimalMark, zone } from "../i18n/numbers";
import { Icon } from "../parts/Icon";
import { ErrorNote } from "../parts/Shell";
import { CONTINUOUS_KINDS, GONE_AFTER_MS } from "../vitals/numerics";
import type { Review } from "./store";
import { TimeLabels } from "./TimeLabels";
import { TrendPanel } from "./TrendPanel";
import { TrendTable } from "./TrendTable";
import { offsetUs, rowGrid, timeAxis } from "./ticks";
import { markAt, nextPlace, type Panel, panelsOf, pointsOf } from "./trend";
import { shownWith, spansFor, TrendQuestion } from "./trends";
import { centred, type Extent, lengthS, placed } from "./window";
import { kindWords, lengthWords, momentWords, unitWords } from "./words";

/** Fewer marks than this are no course: the table says more. */
const LEAST_POINTS = 2;

interface TrendsProps {
  readonly review: Review;
  readonly cursorUs: Signal<number | null>;
}

export function Trends({ review, cursorUs }: TrendsProps) {
  const spans = useMemo(() => spansFor(review.whole), [review]);
  const span = useSignal(spans.at(-1) ?? lengthS(review.whole));
  const extent = useSignal<Extent>(shownWith(review.window.peek(), null, span.peek(), review.whole));
  const asTable = useSignal(false);
  const width = useSignal(0);
  const drawn = useMemo(() => new TrendQuestion(review.id), [review]);
  const listed = useMemo(() => new TrendQuestion(review.id), [review]);
  const axisRow = useRef<HTMLDivElement>(null);
  const window = review.window.value;
  // The trend turns its page when the waves leave it; its own steps may leave the waves behind.
  useEffect(() => {
    extent.value = shownWith(window, extent.peek(), span.value, review.whole);
  }, [window, span.value]);
  useEffect(() => {
    const element = axisRow.current;
    if (element === null) return undefined;
    const observer = new ResizeObserver(() => {
      if (element.clientWidth > 0) width.value = element.clientWidth; // 0: the table is shown
    });
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  useEffect(() => {
    if (width.value > 0) void drawn.ask(extent.value, width.value);
  }, [extent.value, width.value]);
  useEffect(
    () => () => {
      drawn.close();
      listed.close();
    },
    [review],
  );
  const panels = useComputed(() => (drawn.answer.value === null ? null : panelsOf(drawn.answer.value)));
  const few = panels.value !== null && pointsOf(panels.value) < LEAST_POINTS;
  const table = asTable.value || few;
  const grid = useMemo(() => rowGrid(extent.value, offsetUs(extent.value.fromUs, zone.value)), [extent.value]);
  useEffect(() => {
    // The end of the last row less the microsecond that a question adds.
    const toUs = grid.fromUs + grid.rows * grid.stepUs - 1;
    if (table) void listed.ask({ fromUs: grid.fromUs, toUs }, grid.rows);
  }, [table, grid]);
  const move = (by: number) => {
    extent.value = placed(extent.value.fromUs + by * span.value * 9e5, span.value, review.whole);
  };
  const fault = drawn.fault.value ?? (table ? listed.fault.value : null);
  return (
    <section class="trends" aria-labelledby="trends-title" data-points={panels.value && pointsOf(panels.value)}>
      <div class="trends-head">
        <h2 id="trends-title">{t("trend.title")}</h2>
        <label class="tool-choice">
          <span>{t("trend.span")}</span>
          <select
            value={String(span.value)}
            onChange={({ currentTarget }) => {
              span.value = Number(currentTarget.value);
            }}
          >
            {spans.map((one, i) => (
              <option key={one} value={String(one)}>
                {i === spans.length - 1 ? t("review.all_of", { length: lengthWords(one) }) : lengthWords(one)}
              </option>
            ))}
          </select>
        </label>
        <Steps span={span.value} whole={review.whole} onMove={move} />
        {!few && (
          <button
            type="button"
            class="button"
            data-command="trend-table"
            aria-pressed={table}
            onClick={() => {
              asTable.value = !asTable.value;
            }}
          >
            <Icon name="list" size={18} />
            {t("trend.table")}
          </button>
        )}
        <span class="muted numbers trends-extent">
          {momentWords(extent.value.fromUs, review.whole)} – {momentWords(extent.value.toUs, review.whole)}
        </span>
        <span class="muted" role="status">
          {drawn.loading.value || (table && listed.loading.value) ? t("review.loading") : ""}
        </span>
      </div>
      {fault !== null && <ErrorNote sentence={errorSentence(fault.code, fault.params)} />}
      {panels.value?.length === 0 && <p class="muted">{t("trend.nothing")}</p>}
      {table && <TrendTable answer={listed.answer.value} grid={grid} whole={review.whole} few={few} />}
      <Stack
        review={review}
        cursorUs={cursorUs}
        extent={extent.value}
        width={width.value}
        panels={panels.value ?? []}
        columns={drawn.answer.value?.columns ?? 1}
        asked={drawn.answer.value}
        hidden={table || panels.value?.length === 0}
        axisRow={axisRow}
      />
    </section>
  );
}

function Steps({ span, whole, onMove }: { span: number; whole: Extent; onMove: (by: 1 | -1) => void }) {
  if (span >= lengthS(whole)) return null;
  return (
    <div class="choice" role="group" aria-label={t("trend.move")}>
      {([-1, 1] as const).map((by) => (
        <button key={by} type="button" onClick={() => onMove(by)}>
          <Icon name={by < 0 ? "back" : "forward"} size={18} />
          <span class="visually-hidden">{by < 0 ? t("trend.earlier") : t("trend.later")}</span>
        </button>
      ))}
    </div>
  );
}

interface StackProps extends TrendsProps {
  readonly extent: Extent;
  readonly width: number;
  readonly panels: readonly Panel[];
  readonly columns: number;
  /** The stretch that the panels are of: while another is asked for, what is drawn stays where it was. */
  readonly asked: { readonly from_us: number; readonly to_us: number } | null;
  readonly hidden: boolean;
  readonly axisRow: { current: HTMLDivElement | null };
}

/** The panels, their axis and the cursor over them: a slider for keys, a ruler for the pointer. */
function Stack(props: StackProps) {
  const { review, cursorUs, width, panels, columns } = props;
  language.value;
  const extent =
    props.asked === null ? props.extent : { fromUs: props.asked.from_us, toUs: Math.max(props.asked.to_us - 1, 1) };
  const length = Math.max(1, extent.toUs - extent.fromUs);
  const axis = useMemo(
    () => timeAxis(extent, width, offsetUs(extent.fromUs, zone.value)),
    [extent.fromUs, extent.toUs, width],
  );
  const columnOf = (us: number) => Math.floor(((us - extent.fromUs) / length) * columns);
  const timeOf = (column: number) => extent.fromUs + ((column + 0.5) / columns) * length;
  const holdOf = (kind: string) =>
    CONTINUOUS_KINDS.has(kind) ? Math.max(1, Math.ceil((GONE_AFTER_MS * 1000 * columns) / length)) : columns;
  const cursor = cursorUs.value;
  const seen = cursor !== null && cursor >= extent.fromUs && cursor <= extent.toUs;
  const readings = panels.map((panel) =>
    panel.lines.map((line) => (seen ? markAt(line.marks, columnOf(cursor), holdOf(line.kind)) : null)),
  );
  const share = (us: number) => Math.max(0, Math.min(1, (us - extent.fromUs) / length)) * 100;
  const shown = review.window.value;
  const goTo = (us: number) => {
    cursorUs.value = us;
    review.window.value = centred(us, lengthS(review.window.value), review.whole);
  };
  /** The time under the pointer; null beside the panels. */
  const pointed = (event: MouseEvent): number | null => {
    const plot = event.currentTarget instanceof Element ? event.currentTarget.querySelector(".trend-plot") : null;
    const box = plot?.getBoundingClientRect();
    if (box === undefined || event.clientX < box.left || event.clientX > box.right) return null;
    return extent.fromUs + ((event.clientX - box.left) / box.width) * length;
  };
  const pressed = (event: KeyboardEvent) => {
    const by = event.key === "ArrowLeft" ? -1 : event.key === "ArrowRight" ? 1 : 0;
    if (by !== 0) {
      const from = seen ? columnOf(cursor) : by > 0 ? -1 : columns;
      const to = nextPlace(panels, from, event.shiftKey ? 10 * by : by);
      if (to !== null) cursorUs.value = timeOf(to);
    } else if (event.key === "Enter" && seen) goTo(cursor);
    else return;
    event.preventDefault();
    event.stopPropagation(); // The page's own arrows move the waves.
  };
  return (
    <div
      class="trend-stack"
      hidden={props.hidden}
      role="slider"
      tabIndex={0}
      aria-label={t("trend.slider")}
      aria-valuemin={0}
      aria-valuemax={Math.round(length / 1e6)}
      aria-valuenow={seen ? Math.round((cursor - extent.fromUs) / 1e6) : 0}
      aria-valuetext={seen ? spoken(momentWords(cursor, review.whole), panels, readings) : t("trend.no_cursor")}
      onKeyDown={pressed}
      onPointerMove={(event) => {
        cursorUs.value = pointed(event);
      }}
      onPointerLeave={() => {
        cursorUs.value = null;
      }}
      onClick={(event) => {
        const us = pointed(event);
        if (us !== null) goTo(us);
      }}
    >
      {panels.map((panel, i) => (
        <TrendPanel
          key={panel.kind}
          panel={panel}
          columns={columns}
          hold={CONTINUOUS_KINDS.has(panel.kind) ? holdOf(panel.kind) : 0}
          axis={axis}
          width={width}
          readings={seen ? (readings[i] ?? []) : null}
          cursor={seen ? share(cursor) : null}
          from={share(shown.fromUs)}
          to={share(shown.toUs)}
        />
      ))}
      <TimeLabels axis={axis} width={width} row={props.axisRow} />
    </div>
  );
}

/** The time and every number at it, for whoever hears the page. */
function spoken(time: string, panels: readonly Panel[], readings: readonly (readonly ({ words: string } | null)[])[]) {
  const numbers = panels.flatMap((panel, i) =>
    panel.lines.flatMap((line, k) => {
      const words = readings[i]?.[k]?.words;
      return words === undefined
        ? []
        : [`${kindWords(line.kind)} ${withDecimalMark(words)} ${unitWords(line.kind, line.unit)}`];
    }),
  );
  return [time, ...numbers].join(", ");
}

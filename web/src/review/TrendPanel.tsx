/** One number over time: its name and devices, the reading at the cursor, and its drawing. */
import { useEffect, useRef } from "preact/hooks";
import { language } from "../i18n";
import { decimal, withDecimalMark } from "../i18n/numbers";
import { OriginBadge } from "../parts/badges";
import { inkOf, paintPanel, ticksOf } from "./paintTrend";
import type { TimeAxis } from "./ticks";
import { type Mark, type Panel, yOf } from "./trend";
import { kindWords, unitWords } from "./words";

interface TrendPanelProps {
  readonly panel: Panel;
  readonly columns: number;
  readonly hold: number;
  readonly axis: TimeAxis;
  readonly width: number;
  /** Of each line at the cursor; null without one. */
  readonly readings: readonly (Mark | null)[] | null;
  /** Per cent from the left: the cursor, and what the waves show. */
  readonly cursor: number | null;
  readonly from: number;
  readonly to: number;
}

export function TrendPanel(props: TrendPanelProps) {
  const { panel, columns, hold, axis, width } = props;
  const canvas = useRef<HTMLCanvasElement>(null);
  language.value;
  useEffect(() => {
    if (canvas.current !== null && width > 0) paintPanel({ canvas: canvas.current, panel, columns, hold, axis });
  }, [panel, columns, hold, axis, width]);
  const first = panel.lines[0];
  return (
    <div class="trend-panel" data-trend={panel.kind}>
      <div class="trend-name">
        <strong>
          {kindWords(first?.kind ?? panel.kind)} <span class="muted">{unitWords(panel.kind, first?.unit ?? "")}</span>
        </strong>
        {panel.lines.map((line, i) => (
          <span key={`${line.kind} ${line.source} ${line.origin}`} class="trend-line">
            <i class={i > 0 ? "is-dashed" : ""} style={{ color: inkOf(panel, line) }} />
            {props.readings !== null && (
              <output class="numbers" style={{ color: inkOf(panel, line) }}>
                {props.readings[i] == null ? "--" : withDecimalMark(props.readings[i].words)}
              </output>
            )}
            <span class="muted">
              {line.kind === first?.kind ? "" : `${kindWords(line.kind)} · `}
              {line.source}
            </span>
            <OriginBadge origin={line.origin} />
          </span>
        ))}
      </div>
      <div class="trend-ticks numbers" aria-hidden="true">
        {ticksOf(panel).map((value) => (
          <span key={value} style={{ top: `${yOf(panel, value, 100)}%` }}>
            {decimal(value, panel.step % 1 ? 1 : 0)}
          </span>
        ))}
      </div>
      <div class="trend-plot">
        <canvas
          ref={canvas}
          data-columns={columns}
          data-low={panel.low}
          data-high={panel.high}
          data-marks={panel.lines.reduce((sum, line) => sum + line.marks.length, 0)}
        />
        {props.to - props.from < 100 && (
          <span class="trend-window" style={{ left: `${props.from}%`, width: `${props.to - props.from}%` }} />
        )}
        {props.cursor !== null && <span class="cursor" style={{ left: `${props.cursor}%` }} />}
      </div>
    </div>
  );
}

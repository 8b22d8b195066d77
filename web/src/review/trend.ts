/** From the columns of `…/trend` to panels, marks and table rows. Pure; a column is a place from 0 on. */
import type { TrendAnswer } from "../api/types";
import { roundStep } from "./ticks";

type Series = TrendAnswer["series"][number];
type Origin = Series["origin"];

export const PANEL_KINDS = ["heart_rate", "spo2", "respiration_rate", "blood_pressure", "temperature"] as const;
export type PanelKind = (typeof PANEL_KINDS)[number];

/** Readings of one column as numbers, and as the device wrote them. */
export interface Mark {
  readonly column: number;
  readonly least: number;
  readonly greatest: number;
  readonly last: number;
  readonly count: number;
  readonly words: string;
}

/** One number of one device. */
export interface Line {
  readonly kind: string;
  readonly source: string;
  readonly origin: Origin;
  readonly unit: string;
  readonly marks: readonly Mark[];
}

export interface Panel {
  readonly kind: PanelKind;
  /** Blood pressure: a mark reaches from the diastolic to the systolic, `last` is the mean or NaN. */
  readonly lines: readonly Line[];
  readonly low: number;
  readonly high: number;
  /** Ticks at multiples of it. */
  readonly step: number;
}

/** A panel shows at least this much, so that a quiet number looks quiet; in the kind's unit, our own choice. */
const LEAST_SPAN: Record<PanelKind, number> = {
  heart_rate: 40,
  spo2: 10,
  respiration_rate: 10,
  blood_pressure: 60,
  temperature: 2,
};
/** Percent end here. */
const CEILING: Partial<Record<PanelKind, number>> = { spo2: 100 };
/** A panel is cut into at most this many parts. */
const TICKS_MOST = 4;
/** A pulse that an oximeter counts stands beside the heart rate. */
const BESIDE: Readonly<Record<string, PanelKind>> = { pulse_rate: "heart_rate" };

/** The panels that have something to show, in their order. */
export function panelsOf(answer: TrendAnswer): Panel[] {
  const panels: Panel[] = [];
  for (const kind of PANEL_KINDS) {
    const lines = kind === "blood_pressure" ? pressures(answer.series) : plain(answer.series, kind);
    if (lines.length > 0) panels.push({ kind, lines, ...rangeOf(kind, lines) });
  }
  return panels;
}

function plain(series: readonly Series[], kind: PanelKind): Line[] {
  return series
    .filter((one) => one.part === null && (one.kind === kind || BESIDE[one.kind] === kind))
    .map((one) => ({ ...named(one), marks: one.column.map((_, i) => markOf(one, i)) }))
    .sort((a, b) => Number(a.kind !== kind) - Number(b.kind !== kind));
}

const named = ({ kind, source, origin, unit }: Series) => ({ kind, source, origin, unit });

function markOf(one: Series, i: number): Mark {
  const [least, greatest, last] = [one.least[i] ?? "", one.greatest[i] ?? "", one.last[i] ?? ""];
  return {
    column: one.column[i] ?? 0,
    least: Number(least),
    greatest: Number(greatest),
    last: Number(last),
    count: one.count[i] ?? 0,
    words: least === greatest ? last : `${least}–${greatest}`,
  };
}

/** One line a cuff: its value is the systolic, diastolic and mean are the extras of the same readings. */
function pressures(series: readonly Series[]): Line[] {
  const part = (of: Series, name: string) =>
    series.find((one) => one.kind === of.kind && one.part === name && sameDevice(one, of));
  return series
    .filter((one) => one.kind === "blood_pressure" && one.part === null)
    .map((one) => {
      const at = (other: Series | undefined, column: number) => {
        const i = other?.column.indexOf(column) ?? -1;
        return other === undefined || i < 0 ? null : markOf(other, i);
      };
      const [diastolic, mean] = [part(one, "diastolic"), part(one, "mean")];
      const marks = one.column.map((column, i) => {
        const upper = markOf(one, i);
        const lower = at(diastolic, column);
        const middle = at(mean, column);
        const words = `${upper.words}/${lower?.words ?? "--"}${middle === null ? "" : ` (${middle.words})`}`;
        return { ...upper, least: lower?.least ?? upper.least, last: middle?.last ?? Number.NaN, words };
      });
      return { ...named(one), marks };
    });
}

const sameDevice = (a: Series, b: Series) => a.source === b.source && a.origin === b.origin;

function rangeOf(kind: PanelKind, lines: readonly Line[]): { low: number; high: number; step: number } {
  const ceiling = CEILING[kind] ?? Number.POSITIVE_INFINITY;
  const marks = lines.flatMap((line) => line.marks);
  const least = Math.min(...marks.map((mark) => mark.least));
  const greatest = Math.max(...marks.map((mark) => mark.greatest));
  const more = Math.max(0, LEAST_SPAN[kind] - (greatest - least)) / 2;
  const top = Math.min(ceiling, greatest + more);
  const bottom = Math.max(0, Math.min(least, top - LEAST_SPAN[kind]));
  const step = roundStep(Math.max(top - bottom, LEAST_SPAN[kind]), TICKS_MOST);
  return {
    low: Math.floor(bottom / step + 1e-9) * step,
    high: Math.max(Math.ceil(top / step - 1e-9) * step, step),
    step,
  };
}

/** Pixels down a panel of this height, for a value. */
export const yOf = (panel: Panel, value: number, height: number): number =>
  height * (1 - (value - panel.low) / (panel.high - panel.low));

/** Pixels from the left to the middle of a column. */
export const xOf = (column: number, columns: number, width: number): number => ((column + 0.5) / columns) * width;

/** Marks that follow each other within `hold` columns: only these are joined by a line. */
export function joined(marks: readonly Mark[], hold: number): Mark[][] {
  const runs: Mark[][] = [];
  for (const mark of marks) {
    const run = runs.at(-1);
    const before = run?.at(-1);
    if (run !== undefined && before !== undefined && mark.column - before.column <= hold) run.push(mark);
    else runs.push([mark]);
  }
  return runs;
}

/** The newest mark at a column, unless it is more than `hold` columns old. */
export function markAt(marks: readonly Mark[], column: number, hold: number): Mark | null {
  let from = 0;
  let to = marks.length;
  while (from < to) {
    const middle = (from + to) >> 1;
    if ((marks[middle]?.column ?? 0) <= column) from = middle + 1;
    else to = middle;
  }
  const mark = marks[from - 1];
  return mark === undefined || column - mark.column > hold ? null : mark;
}

/** How many marks the fullest line has. */
export const pointsOf = (panels: readonly Panel[]): number =>
  Math.max(0, ...panels.flatMap((panel) => panel.lines.map((line) => line.marks.length)));

/** The place with a reading that lies `by` places after (before) this column; the last (first) one at the end. */
export function nextPlace(panels: readonly Panel[], column: number, by: number): number | null {
  const all = panels.flatMap((panel) => panel.lines.flatMap((line) => line.marks.map((mark) => mark.column)));
  const places = [...new Set(all)].sort((a, b) => a - b);
  if (by > 0) {
    const later = places.filter((one) => one > column);
    return later[Math.min(by, later.length) - 1] ?? places.at(-1) ?? null;
  }
  const earlier = places.filter((one) => one < column);
  return earlier[Math.max(0, earlier.length + by)] ?? places[0] ?? null;
}

export interface TableRow {
  readonly column: number;
  /** A cell for each line, null where nothing was read. */
  readonly cells: readonly (Mark | null)[];
}

/** Every line of every panel, and a row for each column in which anything was read. */
export function tableOf(panels: readonly Panel[]): { lines: Line[]; rows: TableRow[] } {
  const lines = panels.flatMap((panel) => panel.lines);
  const byColumn = new Map<number, (Mark | null)[]>();
  lines.forEach((line, at) => {
    for (const mark of line.marks) {
      const cells = byColumn.get(mark.column) ?? lines.map(() => null);
      cells[at] = mark;
      byColumn.set(mark.column, cells);
    }
  });
  const rows = [...byColumn].sort(([a], [b]) => a - b).map(([column, cells]) => ({ column, cells }));
  return { lines, rows };
}

/** The static millimetre grid with the calibration pulses, one canvas under all leads. */
import { type Paper, pxPerMillivolt, pxPerSecond, REDUCED_GRID_PX_PER_MM } from "./paper";

export interface GridColors {
  readonly minor: string;
  readonly major: string;
  readonly pulse: string;
}

export const DARK_GRID: GridColors = { minor: "#121A23", major: "#1C2936", pulse: "#5B6B7C" };
export const PAPER_GRID: GridColors = { minor: "#F5C9C9", major: "#D98C8C", pulse: "#6B7B8C" };

/** Draw 1 mm and 5 mm lines over width × height; true when the 1 mm lines had to be left out. */
export function drawGrid(
  ctx: CanvasRenderingContext2D,
  width: number,
  height: number,
  paper: Paper,
  colors: GridColors,
): boolean {
  const reduced = paper.pxPerMm < REDUCED_GRID_PX_PER_MM;
  for (const major of [false, true]) {
    if (!major && reduced) continue;
    ctx.fillStyle = major ? colors.major : colors.minor;
    for (let mm = 0; mm * paper.pxPerMm < Math.max(width, height); mm++) {
      if ((mm % 5 === 0) !== major) continue;
      const at = Math.round(mm * paper.pxPerMm);
      if (at < width) ctx.fillRect(at, 0, 1, height);
      if (at < height) ctx.fillRect(0, at, width, 1);
    }
  }
  return reduced;
}

const PULSE_S = 0.2;

/** Room that a row's pulse takes at its left. */
export const pulseWidth = (paper: Paper): number => Math.round(PULSE_S * pxPerSecond(paper)) + 11;

/** A pulse in every row where it has room, else in every second one. */
export function drawPulses(
  ctx: CanvasRenderingContext2D,
  feet: readonly number[],
  paper: Paper,
  colors: GridColors,
): void {
  const distance = (feet[1] ?? Number.POSITIVE_INFINITY) - (feet[0] ?? 0);
  const every = distance > pxPerMillivolt(paper) + 3 ? 1 : 2;
  feet.forEach((foot, i) => {
    if (i % every === 0) drawPulse(ctx, foot, paper, colors);
  });
}

/** The 1 mV, 0.2 s pulse of a row, its foot at `baselineY`. */
function drawPulse(ctx: CanvasRenderingContext2D, baselineY: number, paper: Paper, colors: GridColors): void {
  const width = Math.round(PULSE_S * pxPerSecond(paper));
  const top = Math.round(baselineY - pxPerMillivolt(paper));
  const foot = Math.round(baselineY);
  ctx.fillStyle = colors.pulse;
  ctx.fillRect(2, foot, 3, 1);
  ctx.fillRect(5, top, 1, foot - top + 1);
  ctx.fillRect(5, top, width, 1);
  ctx.fillRect(5 + width, top, 1, foot - top + 1);
  ctx.fillRect(5 + width, foot, 3, 1);
}

/**
 * Paper speed and gain: mm/s and mm/mV are the truth, pixels are derived (a resize shows more or less time, never
 * another scale).
 */

/** CSS reference pixels in a millimetre (CSS Values 4: 1 in = 96 px), as the nominal 3.78. */
export const NOMINAL_PX_PER_MM = 3.78;
export const SPEEDS_MM_S = [12.5, 25, 50] as const;
export const GAINS_MM_MV = [5, 10, 20] as const;
/** Below this many pixels a millimetre the 1 mm grid turns to fog and is left out. */
export const REDUCED_GRID_PX_PER_MM = 2.2;

export interface Paper {
  readonly speedMmS: number;
  readonly gainMmMv: number;
  readonly pxPerMm: number;
}

export const pxPerSecond = (paper: Paper): number => paper.speedMmS * paper.pxPerMm;
export const pxPerSample = (paper: Paper, rateHz: number): number => pxPerSecond(paper) / rateHz;
export const pxPerMillivolt = (paper: Paper): number => paper.gainMmMv * paper.pxPerMm;

/** Millivolt in one `unit` (UCUM), or null when the unit is no voltage. */
export function millivoltsPer(unit: string): number | null {
  switch (unit) {
    case "V":
      return 1000;
    case "mV":
      return 1;
    case "uV":
      return 0.001;
    case "nV":
      return 0.000001;
    default:
      return null;
  }
}

/** A year of birth as typed. Pure. */

/** The server takes nobody older. */
const EARLIEST = 1890;

/** The year, or null when nobody alive can have it. */
export function birthYear(text: string, nowMs: number): number | null {
  if (!/^\s*\d{4}\s*$/.test(text)) return null;
  const year = Number(text);
  return year >= EARLIEST && year <= new Date(nowMs).getUTCFullYear() ? year : null;
}

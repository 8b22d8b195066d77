/** Whether what somebody wrote can be a telephone number at all: a slip is asked about once, never refused. Pure. */

/** The shortest numbers of villages and wards. */
const FEWEST_DIGITS = 5;
/** ITU-T E.164, 6.1. */
const MOST_DIGITS = 15;

export function looksLikePhone(text: string): boolean {
  if (/[^\d\s+()/.-]/.test(text)) return false;
  const digits = text.replace(/\D/g, "").length;
  return digits >= FEWEST_DIGITS && digits <= MOST_DIGITS;
}

/** How large the letters are on a guest's pages; this browser remembers it. */
import { signal } from "@preact/signals";

export type TextSize = 1 | 2 | 3;
const REMEMBERED = "telemed.text";

function remembered(): TextSize {
  const value = typeof localStorage === "undefined" ? null : localStorage.getItem(REMEMBERED);
  return value === "2" ? 2 : value === "3" ? 3 : 1;
}

export const textSize = signal<TextSize>(remembered());

/** Larger, larger still, and back to the first. */
export function nextTextSize(): void {
  textSize.value = textSize.value === 1 ? 2 : textSize.value === 2 ? 3 : 1;
  if (typeof localStorage !== "undefined") localStorage.setItem(REMEMBERED, String(textSize.value));
}

/** Which camera, microphone and speaker were chosen in this tab; a reload keeps them. The ids are random for this site. */

export type Chooseable = "camera" | "microphone" | "speaker";

const keyOf = (kind: Chooseable): string => `telemed.${kind}.device`;

/** The id of the chosen device; null: the browser's own choice. */
export function chosenDevice(kind: Chooseable): string | null {
  return typeof sessionStorage === "undefined" ? null : sessionStorage.getItem(keyOf(kind));
}

export function chooseDevice(kind: Chooseable, id: string): void {
  if (typeof sessionStorage !== "undefined") sessionStorage.setItem(keyOf(kind), id);
}

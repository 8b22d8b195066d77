/** Whether microphone and camera were switched off in this tab: a reload keeps them off. */

export type Switch = "camera" | "microphone";

const keyOf = (which: Switch): string => `telemed.${which}`;

/** On, unless it was switched off in this tab. */
export function rememberedSwitch(which: Switch): boolean {
  return typeof sessionStorage === "undefined" || sessionStorage.getItem(keyOf(which)) !== "off";
}

export function rememberSwitch(which: Switch, on: boolean): void {
  if (typeof sessionStorage === "undefined") return;
  if (on) sessionStorage.removeItem(keyOf(which));
  else sessionStorage.setItem(keyOf(which), "off");
}

/** What opens below a button and closes on Escape, which gives the button the focus back, and on a press elsewhere. */
import { type Signal, useSignal } from "@preact/signals";
import type { RefObject } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";

export interface Popover {
  readonly open: Signal<boolean>;
  /** Around the button, which comes first in it, and what opens. */
  readonly frame: RefObject<HTMLDivElement | null>;
  readonly toggle: () => void;
  /** Closes and gives the button the focus. */
  readonly close: () => void;
}

/** With `focusCloses`, it also closes when the focus goes elsewhere. */
export function usePopover(focusCloses = false): Popover {
  const open = useSignal(false);
  const frame = useRef<HTMLDivElement | null>(null);
  const close = () => {
    open.value = false;
    frame.current?.querySelector("button")?.focus();
  };
  // Listens from the moment it is drawn: after the next paint a quick Escape would go unheard.
  useLayoutEffect(() => {
    if (!open.value) return;
    const outside = (event: Event) => {
      if (event.target instanceof Node && frame.current?.contains(event.target) === false) open.value = false;
    };
    const escaped = (event: KeyboardEvent) => {
      if (event.key === "Escape") close();
    };
    addEventListener("pointerdown", outside);
    addEventListener("keydown", escaped);
    if (focusCloses) addEventListener("focusin", outside);
    return () => {
      removeEventListener("pointerdown", outside);
      removeEventListener("keydown", escaped);
      removeEventListener("focusin", outside);
    };
  }, [open.value]);
  const toggle = () => {
    open.value = !open.value;
  };
  return { open, frame, toggle, close };
}

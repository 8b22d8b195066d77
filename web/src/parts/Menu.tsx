/** More to do, behind one button: opens below it, closes on Escape, on a choice and when the focus leaves. */

import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";
import { Icon } from "./Icon";

export function Menu(props: { words: string; children: (close: () => void) => ComponentChildren }) {
  const open = useSignal(false);
  const frame = useRef<HTMLDivElement>(null);
  const id = useId();
  const close = () => {
    open.value = false;
    frame.current?.querySelector("button")?.focus();
  };
  useEffect(() => {
    if (!open.value) return;
    const outside = (event: Event) => {
      if (event.target instanceof Node && frame.current?.contains(event.target) === false) open.value = false;
    };
    const escaped = (event: KeyboardEvent) => {
      if (event.key === "Escape") close();
    };
    addEventListener("pointerdown", outside);
    addEventListener("focusin", outside);
    addEventListener("keydown", escaped);
    return () => {
      removeEventListener("pointerdown", outside);
      removeEventListener("focusin", outside);
      removeEventListener("keydown", escaped);
    };
  }, [open.value]);
  return (
    <div class="menu" ref={frame}>
      <button
        type="button"
        class="quiet-button menu-button"
        aria-expanded={open.value}
        aria-controls={id}
        title={props.words}
        onClick={() => {
          open.value = !open.value;
        }}
      >
        <Icon name="more" />
        <span class="visually-hidden">{props.words}</span>
      </button>
      {open.value && (
        <div class="menu-list" id={id}>
          {props.children(close)}
        </div>
      )}
    </div>
  );
}

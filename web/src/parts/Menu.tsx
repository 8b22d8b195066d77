/** More to do, behind one button: opens below it, closes on Escape, on a choice and when the focus leaves. */

import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";
import { Icon } from "./Icon";
import { usePopover } from "./popover";

export function Menu(props: { words: string; children: (close: () => void) => ComponentChildren }) {
  const { open, frame, toggle, close } = usePopover(true);
  const id = useId();
  return (
    <div class="menu" ref={frame}>
      <button
        type="button"
        class="quiet-button menu-button"
        aria-expanded={open.value}
        aria-controls={id}
        title={props.words}
        onClick={toggle}
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

/** The frame of every page for somebody without an account: name, language, one column, one heading that takes the focus. */
import { type ComponentChildren, Fragment } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { language, t } from "../i18n";
import { switchLanguage } from "../parts/account";
import { Icon } from "../parts/Icon";
import { nextTextSize, textSize } from "./textsize";

interface GuestShellProps {
  /** Names what is shown; whenever it changes, the focus goes to the heading. */
  readonly step: string;
  /** The call: it has a button for the letters of its own. */
  readonly dark?: boolean;
  /** Taps do not act yet: they were meant for the page before. */
  readonly guarded?: boolean;
  /** Who invites; before it is known, the product's name. */
  readonly from?: string | undefined;
  readonly children: ComponentChildren;
}

export function GuestShell(props: GuestShellProps) {
  const main = useRef<HTMLElement>(null);
  const before = useRef(props.step);
  useEffect(() => {
    if (before.current === props.step) return;
    before.current = props.step;
    const element = main.current;
    if (element === null) return;
    element.scrollTop = 0;
    (element.querySelector<HTMLElement>("h1[tabindex]") ?? element).focus();
  }, [props.step]);
  const other = language.value === "bg" ? "en" : "bg";
  return (
    <div
      class={`guest is-text-${textSize.value} ${props.dark === true ? "is-dark" : "is-light"} ${props.guarded === true ? "is-guarded" : ""}`}
    >
      <button type="button" class="skip" onClick={() => main.current?.focus()}>
        {t("shell.skip")}
      </button>
      <header class="guest-top">
        <span class="product-mark">
          <Icon name="pulse" size={24} />
        </span>
        <span class="guest-from">{props.from ?? "Telemed"}</span>
        {props.dark !== true && <Letters />}
        <button type="button" class="guest-language" lang={other} onClick={() => switchLanguage(other)}>
          {other === "bg" ? "Български" : "English"}
        </button>
      </header>
      <main id="main" ref={main} tabIndex={-1}>
        {props.children}
      </main>
    </div>
  );
}

/** Larger letters, on every page to be read; after the largest the ordinary ones again. */
function Letters() {
  const words = t(textSize.value === 3 ? "visit.letters_ordinary" : "visit.letters_larger");
  return (
    <>
      <button type="button" class="guest-letters" data-command="letters" onClick={nextTextSize}>
        <Icon name="letters" size={28} />
        <span>
          {words.split(" ").map((word) => (
            <Fragment key={word}>
              <span>{word}</span>{" "}
            </Fragment>
          ))}
        </span>
      </button>
      <span class="visually-hidden" role="status">
        {t("in.text_size", { size: textSize.value })}
      </span>
    </>
  );
}

/** The one heading of a page. */
export function Heading(props: { children: ComponentChildren; hidden?: boolean }) {
  return (
    <h1 tabIndex={-1} class={props.hidden === true ? "visually-hidden" : undefined}>
      {props.children}
    </h1>
  );
}

/** A telephone number to press; nothing when none is known. */
export function Phone(props: { number: string | undefined; words: string }) {
  if (props.number === undefined || props.number === "") return null;
  return (
    <a class="big phone-link" href={`tel:${props.number.replace(/[^+0-9]/g, "")}`}>
      <Icon name="phone" />
      <span>
        {props.words} <strong class="numbers">{props.number}</strong>
      </span>
    </a>
  );
}

/** In an emergency nobody waits for a page. */
export function Emergency() {
  return (
    <p class="emergency">
      <Icon name="warning" />
      <span>
        {t("visit.emergency")}{" "}
        <a class="numbers" href="tel:112">
          112
        </a>
      </span>
    </p>
  );
}

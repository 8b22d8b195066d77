/** What is the same on every page: top bar, rail, main, the place where errors are spoken. */
import type { ComponentChildren } from "preact";
import { language, t } from "../i18n";
import { NoticeBell } from "../notices/NoticeBell";
import { addressOf, type Place, place } from "../router";
import { account, signOut, switchLanguage } from "./account";
import { Icon, type IconName } from "./Icon";

export function Shell(props: { dark?: boolean; strip?: ComponentChildren; children: ComponentChildren }) {
  const dark = props.dark === true;
  return (
    <div class={`shell ${dark ? "is-dark" : "is-light"}`}>
      <button type="button" class="skip" onClick={() => document.getElementById("main")?.focus()}>
        {t("shell.skip")}
      </button>
      <header class="topbar">
        <a class="product" href={addressOf({ page: "worklist" })} aria-label={t("shell.home")}>
          <span class="product-mark">
            <Icon name="pulse" size={24} />
          </span>
          <span class="product-name">Telemed</span>
        </a>
        <div class="topbar-strip">{props.strip}</div>
        <NoticeBell />
        <LanguageSwitch />
        {dark && (
          <a class="quiet-button" href={addressOf({ page: "help" })} target="_blank" rel="noopener">
            <Icon name="help" />
            <span class="visually-hidden">{t("nav.help")}</span>
          </a>
        )}
        <UserMenu />
      </header>
      {!dark && account.value && (
        <nav class="rail" aria-label={t("shell.navigation")}>
          <RailLink to={{ page: "worklist" }} icon="list" words={t("nav.worklist")} />
          <RailLink to={{ page: "help" }} icon="help" words={t("nav.help")} />
        </nav>
      )}
      <main id="main" tabIndex={-1}>
        {props.children}
      </main>
    </div>
  );
}

function RailLink(props: { to: Place; icon: IconName; words: string }) {
  const here = place.value.page === props.to.page;
  return (
    <a href={addressOf(props.to)} aria-current={here ? "page" : undefined}>
      <Icon name={props.icon} />
      <span>{props.words}</span>
    </a>
  );
}

export function LanguageSwitch() {
  return (
    <div class="languages" role="group" aria-label={t("shell.language")}>
      {(["bg", "en"] as const).map((one) => (
        <button
          key={one}
          type="button"
          lang={one}
          aria-pressed={language.value === one}
          title={one === "bg" ? "Български" : "English"}
          onClick={() => switchLanguage(one)}
        >
          {one.toUpperCase()}
        </button>
      ))}
    </div>
  );
}

function UserMenu() {
  const who = account.value;
  if (!who) return null;
  return (
    <div class="user">
      <span class="user-name">{who.name}</span>
      <button type="button" class="quiet-button" onClick={() => void signOut()} title={t("shell.sign_out")}>
        <Icon name="signOut" />
        <span class="visually-hidden">{t("shell.sign_out")}</span>
      </button>
    </div>
  );
}

/** An error where it happened, spoken at once. */
export function ErrorNote(props: { sentence: string; children?: ComponentChildren }) {
  return (
    <div class="error-note" role="alert">
      <Icon name="warning" />
      <p>{props.sentence}</p>
      {props.children}
    </div>
  );
}

import "@fontsource-variable/sofia-sans/wght.css";
import "./style/base.css";
import "./style/shell.css";
import "./style/pages.css";
import "./style/live.css";
import "./style/call.css";
import "./style/room.css";
import "./style/ask.css";
import "./style/panel.css";
import "./style/numerics.css";
import "./style/review.css";
import "./style/staff.css";
import "./style/rows.css";
import "./style/notices.css";
import "./style/desk.css";
import "./style/note.css";
import "./style/phone.css";
import "./style/print.css";
import "./style/visit.css";
import "./style/waiting.css";
import "./style/check.css";
import "./style/incall.css";
import "./style/sheet.css";
import "./style/letters.css";
import { effect } from "@preact/signals";
import { render } from "preact";
import { App } from "./app";
import { language, t } from "./i18n";
import { followNotices, waiting } from "./notices/notices";
import { titleWith } from "./notices/waiting";
import { findAccount } from "./parts/account";
import { keepFocus } from "./parts/focus";
import { followAddress, place } from "./router";

effect(() => {
  document.documentElement.lang = language.value;
  document.title = titleWith(waiting.value.length, t("shell.title"));
});
followAddress();
followNotices();
keepFocus();
// A guest has no account, and nothing on a guest's page waits for one.
const findWhenAsked = effect(() => {
  if (place.value.page === "join" || place.value.page === "check") return;
  queueMicrotask(() => findWhenAsked());
  void findAccount();
});
const host = document.getElementById("app");
if (host !== null) render(<App />, host);

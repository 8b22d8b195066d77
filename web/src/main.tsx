import "@fontsource-variable/sofia-sans/wght.css";
import "./style/base.css";
import "./style/shell.css";
import "./style/pages.css";
import "./style/live.css";
import "./style/call.css";
import "./style/numerics.css";
import "./style/review.css";
import "./style/phone.css";
import { effect } from "@preact/signals";
import { render } from "preact";
import { App } from "./app";
import { language, t } from "./i18n";
import { findAccount } from "./parts/account";
import { followAddress } from "./router";

effect(() => {
  document.documentElement.lang = language.value;
  document.title = t("shell.title");
});
followAddress();
void findAccount();
const host = document.getElementById("app");
if (host !== null) render(<App />, host);

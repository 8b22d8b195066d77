/** What Telemed is and is not, the keys, the words of the states. */
import { t } from "../i18n";
import type { Key } from "../i18n/keys";
import { Shell } from "../parts/Shell";

const LIVE: Key = "key.live_only";
const REVIEW: Key = "key.review_only";
/** Keys, what they do, and where when not in both. A key of null is the pointer. */
const KEYS: readonly (readonly [string | null, Key, Key | null])[] = [
  ["F", "key.freeze", LIVE],
  ["L", "key.layout", LIVE],
  ["A", "key.microphone", LIVE],
  ["V", "key.camera", LIVE],
  ["X", "key.screen", LIVE],
  ["P", "key.picture", LIVE],
  ["Alt+1 2 3", "key.tabs", LIVE],
  ["− =", "key.gain", null],
  ["[ ]", "key.speed", LIVE],
  ["← →", "key.scroll", REVIEW],
  ["Shift ← →", "key.scroll_far", REVIEW],
  ["PgUp PgDn", "key.page", REVIEW],
  ["Home End", "key.ends", REVIEW],
  ["[ ]", "key.zoom", REVIEW],
  ["T", "key.trends", REVIEW],
  [null, "key.drag", REVIEW],
  ["?", "key.help", null],
  ["Esc", "key.close", null],
];

const STATES: readonly (readonly [Key, Key])[] = [
  ["link.live", "help.state_live"],
  ["link.delayed", "help.state_delayed"],
  ["link.interrupted", "help.state_interrupted"],
  ["link.recovering", "help.state_recovering"],
  ["link.offline", "help.state_offline"],
];

export function KeyTable() {
  return (
    <table class="keys">
      <tbody>
        {KEYS.map(([key, words, where]) => (
          <tr key={words}>
            <th scope="row">
              <kbd>{key ?? t("key.pointer")}</kbd>
            </th>
            <td>{t(words)}</td>
            <td class="muted">{where === null ? "" : t(where)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

export function HelpPage() {
  return (
    <Shell>
      <div class="page help">
        <h1>{t("help.title")}</h1>
        <section class="notice" aria-labelledby="help-disclaimer">
          <h2 id="help-disclaimer">{t("help.disclaimer_title")}</h2>
          <p>{t("disclaimer.full")}</p>
        </section>
        <div class="help-columns">
          <section aria-labelledby="help-numbers">
            <h2 id="help-numbers">{t("help.numbers_title")}</h2>
            <p>{t("help.numbers")}</p>
            <p>{t("help.derived")}</p>
            <h2>{t("help.waves_title")}</h2>
            <p>{t("help.waves")}</p>
            <p>{t("help.origin")}</p>
          </section>
          <section aria-labelledby="help-keys">
            <h2 id="help-keys">{t("help.keys_title")}</h2>
            <p class="muted">{t("help.keys_note")}</p>
            <KeyTable />
            <h2>{t("help.states_title")}</h2>
            <dl class="states">
              {STATES.map(([name, words]) => (
                <div key={name}>
                  <dt>{t(name)}</dt>
                  <dd>{t(words)}</dd>
                </div>
              ))}
            </dl>
          </section>
        </div>
      </div>
    </Shell>
  );
}

/** What is to be said of a station, a line each; nothing while all is well. */
import { t } from "../i18n";
import { decimal } from "../i18n/numbers";
import type { StationStatus } from "../protocol/messages";
import { Icon } from "./Icon";
import { stationFacts } from "./stationwords";

export function StationFacts({ status }: { status: StationStatus | null }) {
  const facts = stationFacts(status);
  if (facts.length === 0) return null;
  return (
    <ul class="station-facts">
      {facts.map(({ key, params, warning }) => (
        <li key={key} class={warning ? "is-warning" : undefined} data-fact={key}>
          {warning && <Icon name="warning" size={18} />}
          <span>
            {t(key, {
              ...params,
              ...(params.hours !== undefined && { hours: decimal(params.hours, params.hours < 10 ? 1 : 0) }),
              ...(params.megabytes !== undefined && { megabytes: decimal(params.megabytes, 1) }),
            })}
          </span>
        </li>
      ))}
    </ul>
  );
}

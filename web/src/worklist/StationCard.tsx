/** A station: where it is, whether it is online, and for an operator the way to its page. */
import type { StationInfo } from "../api/types";
import { t } from "../i18n";
import { isOperator } from "../parts/clinic";
import { Icon } from "../parts/Icon";
import { StationFacts } from "../parts/StationFacts";
import { whenWords } from "../parts/when";
import type { StationStatus } from "../protocol/messages";
import { addressOf } from "../router";

export function StationCard({ station }: { station: StationInfo }) {
  return (
    <article class={`station ${station.online ? "is-online" : "is-offline"}`}>
      <span class="station-face">
        <Icon name="station" size={26} />
      </span>
      <div>
        <h3>{station.name}</h3>
        <p class="muted">{station.place}</p>
        <p class="station-state">
          <span class="dot" aria-hidden="true" />
          {station.online ? t("stations.online") : offlineWords(station)}
        </p>
        <StationFacts status={station.status as StationStatus | null} />
        {isOperator() && (
          <a class="button station-link" href={addressOf({ page: "station", id: station.id })}>
            {t("stations.who")}
            <span class="visually-hidden"> {station.name}</span>
          </a>
        )}
      </div>
    </article>
  );
}

function offlineWords(station: StationInfo): string {
  if (station.seen_at === null) return t("stations.never");
  return t("stations.offline_since", { time: whenWords(station.seen_at) });
}

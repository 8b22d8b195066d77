/** Who is examined, where, since when, whether consent was given, and how the link is. */
import { t } from "../i18n";
import type { Key } from "../i18n/keys";
import { clockTime, duration } from "../i18n/numbers";
import { OriginBadge, StateBadge } from "../parts/badges";
import { bornWords, patientName } from "../parts/patient";
import { now } from "../parts/ticking";
import type { ConsultationInfo, Origin } from "../protocol/messages";
import { ConsentMark } from "./ConsentMark";
import type { LiveConsultation } from "./consultation";
import type { LinkState } from "./linkstate";

const LINK_WORDS: Record<LinkState, Key> = {
  connecting: "link.connecting",
  waiting: "link.waiting",
  live: "link.live",
  delayed: "link.delayed",
  interrupted: "link.interrupted",
  recovering: "link.recovering",
  offline: "link.offline",
  ended: "link.ended",
};

export function PatientStrip({ live, link }: { live: LiveConsultation; link: LinkState }) {
  const info = live.info.value;
  if (info === null) return <span class="muted">{t("shell.connecting")}</span>;
  const until = info.ended_at === null ? now.value : Date.parse(info.ended_at);
  const origins = new Set<Origin>(live.streams.value.filter((stream) => stream.live).map((stream) => stream.origin));
  return (
    <div class="patient-strip">
      <div class="patient-who">
        <strong>{patientName(info.patient)}</strong>
        <span class="muted">{bornWords(info.patient)}</span>
      </div>
      <Where info={info} />
      <div class="patient-origins">
        {[...origins].map((origin) => (
          <OriginBadge key={origin} origin={origin} />
        ))}
      </div>
      <StateBadge state={info.state} />
      <ConsentMark given={info.care_consent} />
      {info.live_at !== null && (
        <span class="session-clock numbers" title={t("live.since", { time: clockTime(Date.parse(info.live_at)) })}>
          {duration(until - Date.parse(info.live_at))}
        </span>
      )}
      {info.station !== null && (
        <span class={`link-dot is-${link}`} data-link={link}>
          <span class="dot" aria-hidden="true" />
          {t(LINK_WORDS[link])}
        </span>
      )}
    </div>
  );
}

function Where({ info }: { info: ConsultationInfo }) {
  return (
    <div class="patient-where">
      <span>{info.station === null ? t("patient.at_home") : info.station.name}</span>
      <span class="muted">{info.station === null ? t("patient.no_station") : info.station.place}</span>
    </div>
  );
}

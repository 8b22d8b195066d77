/** What the clinician must have at hand of the patient: where, which telephone, consent, what is shared, the devices. */
import { useSignal } from "@preact/signals";
import { ApiError } from "../api/client";
import { room as api } from "../api/room";
import { staff } from "../api/staff";
import { errorSentence, t } from "../i18n";
import type { Key } from "../i18n/keys";
import { clockTime } from "../i18n/numbers";
import { OriginBadge } from "../parts/badges";
import { Icon } from "../parts/Icon";
import { ErrorNote } from "../parts/Shell";
import type { ConsultationInfo } from "../protocol/messages";
import { OwnLine } from "../room/NetworkBadge";
import { ConsentWords } from "./ConsentMark";
import type { LiveConsultation } from "./consultation";
import { PlaceCard } from "./PlaceCard";
import { RecordSwitch } from "./RecordSwitch";
import type { Standing } from "./standing";

interface PatientTabProps {
  readonly live: LiveConsultation;
  readonly standing: Standing;
  readonly over: boolean;
}

export function PatientTab({ live, standing, over }: PatientTabProps) {
  const info = live.info.value;
  const fault = useSignal<ApiError | null>(null);
  if (info === null) return null;
  const change = async (act: () => Promise<ConsultationInfo>) => {
    fault.value = null;
    try {
      live.room.learn(await act());
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      fault.value = error;
    }
  };
  const running = info.state === "live" || info.state === "interrupted";
  return (
    <div class="patient-tab">
      {fault.value !== null && <ErrorNote sentence={errorSentence(fault.value.code, fault.value.params)} />}
      <PlaceCard id={info.id} editable={!over} info={info} />
      {standing === "clinician" && running && (
        <Phone info={info} onTurn={(on) => change(() => staff.phone(info.id, on))} />
      )}
      {standing === "clinician" && !over && info.station !== null && (
        <label class="switch-row">
          <input
            type="checkbox"
            role="switch"
            aria-checked={info.vitals_shared}
            data-command="share-vitals"
            checked={info.vitals_shared}
            onChange={({ currentTarget: it }) => {
              const wanted = it.checked;
              it.checked = info.vitals_shared; // shown when the server has said so
              void change(() => api.shareVitals(info.id, wanted));
            }}
          />
          <span>
            {t("live.share_vitals")}
            <span class="muted">{t("live.share_vitals_note")}</span>
          </span>
        </label>
      )}
      <section aria-label={t("live.consent_title")}>
        <h3>{t("live.consent_title")}</h3>
        <ConsentWords given={info.care_consent} />
      </section>
      {standing === "clinician" && running && <RecordSwitch info={info} onChanged={(now) => live.room.learn(now)} />}
      {running && (
        <OwnLine
          network={live.line.network.value}
          facts={live.line.facts.value}
          cameraOn={live.call.cameraOn.value && live.call.cameraTrouble.value === null}
        />
      )}
      <Sources live={live} />
    </div>
  );
}

/** The visit goes on by telephone: said, recorded, and not taken for an interruption. */
function Phone(props: { info: ConsultationInfo; onTurn: (on: boolean) => void }) {
  const since = props.info.phone_since;
  return (
    <section class="phone" aria-label={t("phone.title")}>
      <h3>{t("phone.title")}</h3>
      {since !== null && <p role="status">{t("phone.since", { time: clockTime(Date.parse(since)) })}</p>}
      <button type="button" class="button" data-command="phone" onClick={() => props.onTurn(since === null)}>
        <Icon name="phone" size={20} />
        {since === null ? t("phone.go_on") : t("phone.go_back")}
      </button>
    </section>
  );
}

/** Which devices the signals come from, and what they are. */
function Sources({ live }: { live: LiveConsultation }) {
  const streams = live.streams.value.filter((stream) => stream.live);
  if (streams.length === 0) return null;
  return (
    <section class="sources" aria-label={t("sources.title")}>
      <h3>{t("sources.title")}</h3>
      <ul>
        {streams.map((stream) => (
          <li key={stream.stream}>
            <span>{t(KIND_WORDS[stream.kind] ?? "kind.other")}</span>
            <span class="muted">{stream.device}</span>
            <OriginBadge origin={stream.origin} />
          </li>
        ))}
      </ul>
    </section>
  );
}

const KIND_WORDS: Record<string, Key> = {
  ecg: "kind.ecg",
  pleth: "kind.pleth",
  respiration: "kind.respiration",
  spo2: "kind.spo2",
  blood_pressure: "kind.blood_pressure",
  temperature: "kind.temperature",
  heart_rate: "kind.heart_rate",
};

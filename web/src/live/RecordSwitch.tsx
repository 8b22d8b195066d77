/** Recording on and off. The first time the patient is asked, and the answer is written down before anything is kept. */
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { recordings } from "../api/recordings";
import type { ConsultationInfo } from "../api/types";
import { language, t } from "../i18n";
import { clockTime } from "../i18n/numbers";
import { useAsking } from "../parts/asking";
import { Dialog } from "../parts/Dialog";
import { Refusal } from "../parts/Field";

/** A publication that begins says within this time what it sends. */
const LOOK_MS = 4_000;

interface RecordSwitchProps {
  readonly info: ConsultationInfo;
  readonly onChanged: (now: ConsultationInfo) => void;
}

export function RecordSwitch({ info, onChanged }: RecordSwitchProps) {
  const asking = useAsking();
  const question = useSignal(false);
  const leftOut = useSignal(false);
  const since = info.recording_since;
  useEffect(() => {
    leftOut.value = false;
    if (since === null) return undefined;
    const look = setTimeout(async () => {
      const found = await recordings.of(info.id).catch(() => []);
      leftOut.value = found.some((one) => one.picture_left_out && one.ended_at === null);
    }, LOOK_MS);
    return () => clearTimeout(look);
  }, [info.id, since]);
  const turn = async (on: boolean) => {
    const now = await asking.ask(() => recordings.turn(info.id, on));
    if (now !== undefined) onChanged(now);
  };
  const agreed = async () => {
    const done = await asking.ask(async () => {
      await recordings.consent(info, true, language.value);
      return recordings.turn(info.id, true);
    });
    question.value = false;
    if (done !== undefined) onChanged(done);
  };
  const withdrawn = async () => {
    const done = await asking.ask(async () => {
      await recordings.consent(info, false, language.value);
      return true;
    });
    if (done) onChanged({ ...info, recording_since: null, recording_consent: false });
  };
  const begin = () => {
    asking.fault.value = null;
    if (info.recording_consent === true) void turn(true);
    else question.value = true;
  };
  return (
    <section class="record" aria-label={t("recording.title")}>
      <h3>{t("recording.title")}</h3>
      {since === null ? (
        <p class="muted">{t("recording.off")}</p>
      ) : (
        <p>{t("recording.on", { time: clockTime(Date.parse(since)) })}</p>
      )}
      {since === null && info.recording_consent === true && <p class="muted">{t("recording.agreed_before")}</p>}
      {leftOut.value && <p class="note is-warning">{t("recording.left_out")}</p>}
      <Refusal error={asking.fault.value} />
      <div class="record-buttons">
        <button
          type="button"
          class="button"
          data-command="record"
          disabled={asking.busy.value}
          onClick={since === null ? begin : () => void turn(false)}
        >
          {since === null ? t("recording.start") : t("recording.stop")}
        </button>
        {info.recording_consent === true && (
          <button
            type="button"
            class="button"
            data-command="withdraw-recording"
            disabled={asking.busy.value}
            onClick={() => void withdrawn()}
          >
            {t("recording.withdrawn")}
          </button>
        )}
      </div>
      {question.value && (
        <Dialog
          title={t("recording.ask_title")}
          onClose={() => {
            question.value = false;
          }}
        >
          <ul class="record-terms">
            <li>{t("recording.ask_keeps")}</li>
            <li>{t("recording.ask_sees")}</li>
            <li>{t("recording.ask_free")}</li>
          </ul>
          <p>{t("recording.ask_whole")}</p>
          <div class="dialog-actions">
            <button
              type="button"
              class="button"
              onClick={() => {
                question.value = false;
              }}
            >
              {t("dialog.back")}
            </button>
            <button
              type="button"
              class="button primary"
              data-command="record-agreed"
              disabled={asking.busy.value}
              onClick={() => void agreed()}
            >
              {t("recording.ask_yes")}
            </button>
          </div>
        </Dialog>
      )}
    </section>
  );
}

/** The speaker: a tone, and the question whether it was heard; advice when it was not. */
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { t } from "../i18n";
import { chooseDevice, chosenDevice } from "../media/chosen";
import { Icon } from "../parts/Icon";
import type { Outcome } from "./CheckFlow";
import { canChooseSpeaker, playCheckTone } from "./tone";

export function SpeakerStep({ onNext }: { onNext: (outcome: Outcome) => void }) {
  const state = useSignal<"before" | "playing" | "played">("before");
  const unheard = useSignal(false);
  const speakers = useSignal<readonly MediaDeviceInfo[]>([]);
  const chosen = useSignal(chosenDevice("speaker") ?? "");
  useEffect(() => {
    if (!canChooseSpeaker() || navigator.mediaDevices === undefined) return;
    void navigator.mediaDevices.enumerateDevices().then((all) => {
      const named = all.filter((one) => one.kind === "audiooutput" && one.label !== "");
      if (!named.some((one) => one.deviceId === chosen.value)) chosen.value = named[0]?.deviceId ?? "";
      speakers.value = named;
    });
  }, []);
  const playTone = async () => {
    state.value = "playing";
    await playCheckTone();
    state.value = "played";
  };
  return (
    <>
      <p class="lead">{t(state.value === "before" ? "check.speaker_ask" : "check.speaker_heard")}</p>
      {unheard.value && (
        <div class="trouble" role="alert">
          <p>
            <strong>{t("check.speaker_advice_title")}</strong>
          </p>
          <ul class="bullets">
            <li>{t("check.speaker_advice_volume")}</li>
            <li>{t("check.speaker_advice_silent")}</li>
            <li>{t("check.speaker_advice_cable")}</li>
          </ul>
        </div>
      )}
      {speakers.value.length > 1 && (
        <label class="field">
          <span>{t("check.which_speaker")}</span>
          <select
            value={chosen.value}
            onChange={(event) => {
              chosen.value = event.currentTarget.value;
              chooseDevice("speaker", chosen.value);
            }}
          >
            {speakers.value.map((one) => (
              <option key={one.deviceId} value={one.deviceId}>
                {one.label}
              </option>
            ))}
          </select>
        </label>
      )}
      <div class="actions">
        {state.value === "played" && (
          <button type="button" class="big primary" onClick={() => onNext("works")}>
            {t("check.yes_heard")}
          </button>
        )}
        <button
          type="button"
          class={`big ${state.value === "played" ? "" : "primary"}`}
          aria-disabled={state.value === "playing"}
          onClick={() => {
            if (state.value !== "playing") void playTone();
          }}
        >
          <Icon name="sound" />
          {t(
            state.value === "playing"
              ? "check.speaker_playing"
              : state.value === "played"
                ? "check.speaker_again"
                : "check.speaker_play",
          )}
        </button>
        {state.value === "played" && !unheard.value && (
          <button
            type="button"
            class="big"
            onClick={() => {
              unheard.value = true;
            }}
          >
            {t("check.not_heard")}
          </button>
        )}
        {(unheard.value || state.value === "before") && (
          <button type="button" class="big" onClick={() => onNext(unheard.value ? "fails" : "skipped")}>
            {t("check.go_on")}
          </button>
        )}
      </div>
    </>
  );
}

/** The speaker: a tone, and the question whether it was heard; advice when it was not. */
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { t } from "../i18n";
import type { Key } from "../i18n/keys";
import { chooseDevice, chosenDevice } from "../media/chosen";
import { Icon } from "../parts/Icon";
import { AdviceBox, SPEAKER_ADVICE } from "./Advice";
import type { Outcome } from "./outcomes";
import { canChooseSpeaker, playCheckTone } from "./tone";

/** Nobody is asked for what has not sounded yet. */
const ASKED: Record<"before" | "playing" | "played", Key> = {
  before: "check.speaker_ask",
  playing: "check.speaker_listen",
  played: "check.speaker_heard",
};

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
      <p class="lead" role="status">
        {t(ASKED[state.value])}
      </p>
      {unheard.value && <AdviceBox title="check.speaker_advice_title" lines={SPEAKER_ADVICE} />}
      {unheard.value && speakers.value.length > 1 && (
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

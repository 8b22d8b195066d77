/** How loud the microphone hears, as a bar of steps. */
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { t } from "../i18n";
import { STEPS, VOICE_STEPS, watchLevel } from "./level";

const NUMBERS = Array.from({ length: STEPS }, (_, index) => index + 1);

export function LevelBar({ track, onVoice }: { track: MediaStreamTrack; onVoice: () => void }) {
  const lit = useSignal(0);
  useEffect(
    () =>
      watchLevel(track, (steps) => {
        lit.value = steps;
        if (steps >= VOICE_STEPS) onVoice();
      }),
    [track],
  );
  return (
    <div
      class="level"
      role="meter"
      aria-label={t("check.level")}
      aria-valuemin={0}
      aria-valuemax={STEPS}
      aria-valuenow={lit.value}
    >
      {NUMBERS.map((number) => (
        <span key={number} class={number <= lit.value ? "is-lit" : ""} />
      ))}
    </div>
  );
}

/** What one can try at home when a device is there and yet nothing is seen or heard. */
import { useEffect, useRef } from "preact/hooks";
import { t } from "../i18n";
import type { Key } from "../i18n/keys";

export const CAMERA_ADVICE: readonly Key[] = ["check.camera_advice_cover", "check.camera_advice_busy"];
export const MICROPHONE_ADVICE: readonly Key[] = ["check.microphone_advice_louder", "check.microphone_advice_cable"];
export const SPEAKER_ADVICE: readonly Key[] = [
  "check.speaker_advice_volume",
  "check.speaker_advice_silent",
  "check.speaker_advice_cable",
];

export function Advice({ lines }: { lines: readonly Key[] }) {
  return (
    <ul class="bullets">
      {lines.map((key) => (
        <li key={key}>{t(key)}</li>
      ))}
    </ul>
  );
}

/** Said where somebody answered "no": what to try before answering again. The button of the answer is gone: the focus comes here. */
export function AdviceBox({ title, lines }: { title: Key; lines: readonly Key[] }) {
  const first = useRef<HTMLParagraphElement>(null);
  useEffect(() => first.current?.focus(), []);
  return (
    <div class="trouble" data-advice>
      <p ref={first} tabIndex={-1}>
        <strong>{t(title)}</strong>
      </p>
      <Advice lines={lines} />
    </div>
  );
}

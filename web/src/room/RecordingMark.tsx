/** The red mark for as long as pictures and sound are recorded; said once to who does not see it. */
import { t } from "../i18n";

export function RecordingMark({ since }: { since: string | null | undefined }) {
  const on = since !== null && since !== undefined;
  return (
    <span class="recording-place" role="status">
      {on && (
        <span class="recording-mark" data-recording={since}>
          <span class="recording-dot" aria-hidden="true" />
          {t("recording.mark")}
        </span>
      )}
    </span>
  );
}

/** Below the waves: the note of the visit and what was written in its chat. */
import { api } from "../api/client";
import type { ConsultationInfo } from "../api/types";
import { t } from "../i18n";
import { useAsking } from "../parts/asking";
import { NotePanel } from "./NotePanel";
import { Transcript } from "./Transcript";

export const WRITTEN_ID = "written";

export function WrittenParts({
  info,
  onChanged,
}: {
  info: ConsultationInfo;
  onChanged: (i: ConsultationInfo) => void;
}) {
  const asking = useAsking();
  const signed = async () => {
    const now = await asking.ask(() => api.consultation(info.id));
    if (now !== undefined) onChanged(now);
  };
  return (
    <section class="page written" id={WRITTEN_ID} tabIndex={-1} aria-label={t("review.written")}>
      <NotePanel info={info} onSigned={() => void signed()} />
      <Transcript id={info.id} />
    </section>
  );
}

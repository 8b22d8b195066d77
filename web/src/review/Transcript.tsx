/** What was written in the visit's chat, to read after it. */
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { fileAddress } from "../api/room";
import { staff } from "../api/staff";
import { t } from "../i18n";
import { clockTime, decimal } from "../i18n/numbers";
import { useAsking } from "../parts/asking";
import { Refusal } from "../parts/Field";
import { Icon } from "../parts/Icon";
import type { Line } from "../protocol/people";
import { roleWords, sizeWords } from "../room/words";

export function Transcript({ id }: { id: string }) {
  const lines = useSignal<readonly Line[] | null>(null);
  const asking = useAsking();
  useEffect(() => {
    void asking.ask(async () => {
      lines.value = await staff.chat(id);
    });
  }, [id]);
  return (
    <section class="transcript" aria-labelledby="transcript-title">
      <h2 id="transcript-title">{t("transcript.title")}</h2>
      <Refusal error={asking.fault.value} />
      {lines.value === null && asking.fault.value === null && (
        <div class="skeleton is-small" role="status">
          <span class="visually-hidden">{t("shell.connecting")}</span>
          <div />
        </div>
      )}
      {lines.value?.length === 0 && <p class="muted">{t("transcript.empty")}</p>}
      {lines.value !== null && lines.value.length > 0 && (
        <ol class="transcript-lines">
          {lines.value.map((line) => (
            <li key={line.n}>
              <p class="transcript-by">
                <strong>{line.by.name ?? roleWords(line.by.role)}</strong>{" "}
                {line.by.name !== null && <span class="muted">{roleWords(line.by.role)}</span>}{" "}
                <time class="muted numbers" dateTime={line.at}>
                  {clockTime(Date.parse(line.at))}
                </time>
              </p>
              {line.text !== "" && <p class="transcript-text">{line.text}</p>}
              {line.file !== null && (
                <a class="button" href={fileAddress(id, null, line.file.id)} download={line.file.name}>
                  <Icon name="download" size={18} />
                  {line.file.name} <span class="muted numbers">{sizeWords(line.file.bytes, decimal)}</span>
                </a>
              )}
            </li>
          ))}
        </ol>
      )}
    </section>
  );
}

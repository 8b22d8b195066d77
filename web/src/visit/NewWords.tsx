/** The newest message nobody read yet, over the picture: two lines of it, and a press opens them all. */
import { t } from "../i18n";
import { Icon } from "../parts/Icon";
import type { Line } from "../protocol/people";
import { nameOf } from "../room/words";

export function NewWords({ unread, onOpen }: { unread: readonly Line[]; onOpen: () => void }) {
  const line = unread.at(-1);
  if (line === undefined) return null;
  return (
    <button type="button" class="in-words" data-command="read" data-line={line.n} onClick={onOpen}>
      <Icon name="chat" size={28} />
      <span class="in-words-said">
        <strong>{nameOf(line.by)}</strong>
        <span class="in-words-text">
          {line.file === null ? line.text : t("in.sent_file", { name: line.file.name })}
        </span>
      </span>
    </button>
  );
}

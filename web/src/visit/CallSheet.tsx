/** Chat or people, over the picture on a phone and beside it where there is room. Escape closes. */
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { t } from "../i18n";
import { Icon } from "../parts/Icon";
import { ChatPanel } from "../room/ChatPanel";
import type { RoomConnection } from "../room/connection";
import { OwnLine } from "../room/NetworkBadge";
import { PeoplePanel } from "../room/PeoplePanel";
import type { Sheet } from "./CallBar";
import type { Visit } from "./visit";

interface CallSheetProps {
  readonly sheet: Sheet;
  readonly room: RoomConnection;
  readonly visit: Visit;
  readonly onClose: () => void;
}

export function CallSheet({ sheet, room, visit, onClose }: CallSheetProps) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => heading.current?.focus(), [sheet]);
  useLayoutEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      if (event.key === "Escape" && document.querySelector("dialog[open]") === null) onClose();
    };
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  }, [onClose]);
  const line = visit.line.value;
  return (
    <aside class="in-sheet" aria-labelledby="sheet-title" data-sheet={sheet}>
      <header>
        <h2 id="sheet-title" ref={heading} tabIndex={-1}>
          {t(sheet === "chat" ? "in.chat" : "in.people")}
        </h2>
        <button type="button" class="big is-close" onClick={onClose}>
          <Icon name="close" />
          {t("in.close")}
        </button>
      </header>
      {sheet === "chat" ? (
        <ChatPanel room={room} guest />
      ) : (
        <PeoplePanel room={room} decides={false} titled>
          {line !== null && (
            <OwnLine
              network={room.socketState.value === "open" ? line.network.value : "unknown"}
              facts={line.facts.value}
              cameraOn={visit.call.value?.cameraOn.value ?? false}
              folded
            />
          )}
        </PeoplePanel>
      )}
    </aside>
  );
}

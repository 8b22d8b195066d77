/** In the call: one large picture, one's own small, six large buttons; chat and people over the picture or beside it. */
import { useSignal } from "@preact/signals";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { playChime } from "../check/tone";
import { t } from "../i18n";
import { Dialog } from "../parts/Dialog";
import { Icon } from "../parts/Icon";
import { Announcer } from "../room/Announcer";
import type { RoomCall } from "../room/call";
import type { RoomConnection } from "../room/connection";
import { Pictures } from "../room/Pictures";
import { RecordingMark } from "../room/RecordingMark";
import { CallBar, type Sheet } from "./CallBar";
import { CallNotes } from "./CallNotes";
import { CallSheet } from "./CallSheet";
import { ConsentCard } from "./ConsentCard";
import { Heading } from "./GuestShell";
import { LineLost } from "./LineLost";
import { NewWords } from "./NewWords";
import { Reading } from "./reading";
import { SharedVitals } from "./SharedVitals";
import type { Visit } from "./visit";

export function GuestCall({ visit }: { visit: Visit }) {
  const room = visit.room.value;
  const call = visit.call.value;
  if (room === null || call === null) {
    return (
      <section class="column" data-stage="call">
        <Heading>{t("in.connecting")}</Heading>
        <LineLost visit={visit} />
      </section>
    );
  }
  return <InCall visit={visit} room={room} call={call} />;
}

function InCall({ visit, room, call }: { visit: Visit; room: RoomConnection; call: RoomCall }) {
  const chosen = useSignal<string | null>(null);
  const sheet = useSignal<Sheet | null>(null);
  const leaving = useSignal(false);
  const opener = useRef<HTMLElement | null>(null);
  useEffect(() => {
    // Heard once, when one is let in; a browser that forbids it stays silent.
    void playChime().catch(() => undefined);
  }, []);
  const show = (what: Sheet | null) => {
    const before = sheet.value;
    if (what !== null) opener.current = document.activeElement as HTMLElement | null;
    sheet.value = what === before ? null : what;
    if (sheet.value !== null) return;
    // What opened it may be gone: a message that is read now.
    const there = opener.current?.isConnected === true;
    (there ? opener.current : document.querySelector<HTMLElement>(`.in-bar [data-command=${before}]`))?.focus();
  };
  const reading = useMemo(() => new Reading(room.id, room.as), [room]);
  const lines = room.lines.value;
  const chatting = sheet.value === "chat";
  useEffect(() => {
    if (chatting) reading.read(lines);
  }, [reading, chatting, lines]);
  const unread = chatting ? [] : reading.unread(lines, room.me.value);
  const seat = visit.seat.value;
  const away = seat?.state === "interrupted" && seat.phone_since === null && room.socketState.value === "open";
  return (
    <div class={`in-call ${sheet.value === null ? "" : "has-sheet"}`} data-stage="call">
      <Heading hidden>{t("in.title", { who: seat?.clinician ?? t("wait.a_clinician") })}</Heading>
      <div class="visually-hidden" role="status">
        {t("in.you_are_in")}
      </div>
      <div class="in-notes">
        <RecordingMark since={seat?.recording_since} />
        <LineLost visit={visit} />
        <CallNotes visit={visit} room={room} call={call} />
      </div>
      <div class={`in-stage ${seat?.vitals_shared === true ? "has-vitals" : ""}`}>
        <Pictures
          room={room}
          call={call}
          chosen={chosen}
          staff={false}
          instead={away && call.tiles.value.length === 0 ? t("in.away") : null}
        />
        {seat?.vitals_shared === true && <SharedVitals visit={visit} room={room} />}
      </div>
      <div class="in-over">
        <NewWords unread={unread} onOpen={() => show("chat")} />
        <ConsentCard visit={visit} />
      </div>
      {sheet.value !== null && <CallSheet sheet={sheet.value} room={room} visit={visit} onClose={() => show(null)} />}
      <CallBar
        room={room}
        call={call}
        sheet={sheet.value}
        unread={unread.length}
        onSheet={show}
        onLeave={() => {
          leaving.value = true;
        }}
      />
      <Announcer room={room} />
      {leaving.value && (
        <Dialog
          title={t("in.leave_title")}
          onClose={() => {
            leaving.value = false;
          }}
        >
          <p>{t("in.leave_text")}</p>
          <div class="dialog-actions is-large">
            <button
              type="button"
              class="big"
              onClick={() => {
                leaving.value = false;
              }}
            >
              {t("in.leave_no")}
            </button>
            <button type="button" class="big is-leave" data-command="leave-yes" onClick={() => void visit.leave()}>
              <Icon name="end" />
              {t("in.leave_yes")}
            </button>
          </div>
        </Dialog>
      )}
    </div>
  );
}

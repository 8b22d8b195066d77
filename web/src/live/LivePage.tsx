/**
 * The live consultation of a clinician or a second one: pictures, room, and the waves and numbers of a station where there
 * is one, in two layouts; without a station the picture is large.
 */
import { useComputed, useSignal } from "@preact/signals";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { ApiError, api } from "../api/client";
import type { ConsultationInfo } from "../api/types";
import { KeysDialog } from "../help/KeysDialog";
import { t } from "../i18n";
import { InviteDialog } from "../invite/InviteDialog";
import { account, beforeSignOut, noticeSignedOut } from "../parts/account";
import { useAltDigits, useKeys } from "../parts/keys";
import { Shell } from "../parts/Shell";
import { now } from "../parts/ticking";
import { Announcer } from "../room/Announcer";
import { ElsewhereNote } from "../room/ElsewhereNote";
import { largeTile, nextTile } from "../room/tiles";
import { go } from "../router";
import { GAINS_MM_MV, SPEEDS_MM_S } from "../waves/paper";
import type { BoardLayout } from "../waves/rows";
import { BottomBar } from "./BottomBar";
import { CallPanel } from "./CallPanel";
import { HandOverDialog, SecondClinicianDialog } from "./ColleagueDialogs";
import { LiveConsultation } from "./consultation";
import { EndDialog } from "./EndDialog";
import { isOver, linkFacts } from "./facts";
import { linkState } from "./linkstate";
import { NumericsColumn } from "./NumericsColumn";
import { PatientStrip } from "./PatientStrip";
import { RoomNotes } from "./RoomNotes";
import { type PanelQuestion, SidePanel, TABS, type Tab } from "./SidePanel";
import { standingOf } from "./standing";
import { neighbour, WavePanel } from "./WavePanel";

type Question = PanelQuestion | "end" | "keys";

/** The chat is opened to write; the others to be read from their tab on. */
function focusTab(tab: Tab): void {
  const field = tab === "chat" ? document.querySelector<HTMLElement>("[data-chat-text]") : null;
  (field ?? document.getElementById(`tab-${tab}`))?.focus();
}

export function LivePage({ id }: { id: string }) {
  const who = account.value?.id ?? null;
  const live = useMemo(() => new LiveConsultation(id, who), [id, who]);
  useEffect(() => {
    const takeBack = beforeSignOut(() => live.forget());
    return () => {
      takeBack();
      void live.close();
    };
  }, [live]);
  const layout = useSignal<BoardLayout>("examine");
  const wide = useSignal(false);
  const chosen = useSignal<string | null>(null);
  const tab = useSignal<Tab>("people");
  const byKey = useRef(false);
  const frozen = useSignal(false);
  const speed = useSignal<number>(25);
  const gain = useSignal<number>(10);
  const asking = useSignal<Question | null>(null);
  const fault = useSignal<ApiError | null>(null);
  const link = useComputed(() => {
    now.value;
    return linkState(linkFacts(live));
  });
  const info = live.info.value;
  const standing = standingOf(info, who);
  const over = isOver(info?.state);
  const waves = info === null || info.station !== null;
  const locked = over ? t("live.locked_over") : frozen.value ? t("live.locked_frozen") : null;
  const stale = ["interrupted", "recovering", "offline"].includes(link.value);
  // Asked when a key comes, not when the page was drawn: F and ] may come in one go.
  const unlessLocked = (act: () => void) => () => {
    if (waves && !isOver(live.info.value?.state) && !frozen.value) act();
  };
  const whileOn = (act: () => void) => () => {
    if (!isOver(live.info.value?.state)) act();
  };
  const ask = (what: Question | null) => {
    asking.value = what;
  };
  const close = () => ask(null);
  const toggleLayout = unlessLocked(() => {
    layout.value = layout.value === "examine" ? "talk" : "examine";
  });
  const toggleFreeze = whileOn(() => {
    if (waves) frozen.value = !frozen.value;
  });
  const nextPicture = whileOn(() => {
    const tiles = live.call.tiles.value;
    chosen.value = nextTile(tiles, largeTile(tiles, chosen.value, true))?.key ?? null;
  });
  const turnGain = (by: number) =>
    unlessLocked(() => {
      gain.value = neighbour(GAINS_MM_MV, gain.value, by);
    });
  const turnSpeed = (by: number) =>
    unlessLocked(() => {
      speed.value = neighbour(SPEEDS_MM_S, speed.value, by);
    });
  useKeys({
    KeyF: toggleFreeze,
    KeyL: toggleLayout,
    KeyA: whileOn(() => live.call.setMicrophone(!live.call.microphoneOn.value)),
    KeyV: whileOn(() => live.call.setCamera(!live.call.cameraOn.value)),
    KeyX: whileOn(() =>
      live.call.screenStream.value === null ? void live.call.shareScreen() : live.call.stopScreen(),
    ),
    KeyP: nextPicture,
    Minus: turnGain(-1),
    Equal: turnGain(1),
    BracketLeft: turnSpeed(-1),
    BracketRight: turnSpeed(1),
    "?": () => ask("keys"),
  });
  useAltDigits((digit) => {
    const wanted = TABS[digit - 1];
    if (wanted === undefined) return;
    if (wanted === tab.value) focusTab(wanted);
    else {
      byKey.current = true;
      tab.value = wanted;
    }
  });
  const shownTab = tab.value;
  useEffect(() => {
    if (byKey.current) focusTab(shownTab);
    byKey.current = false;
  }, [shownTab]);
  const change = async (act: () => Promise<ConsultationInfo>) => {
    fault.value = null;
    try {
      live.room.learn(await act());
    } catch (error) {
      if (!noticeSignedOut(error) && error instanceof ApiError) fault.value = error;
    }
  };
  const end = async () => {
    await change(() => api.end(id));
    close();
  };
  const finish = () => {
    if (over) go({ page: "review", id });
    else if (standing === "clinician") ask("end");
    else go({ page: "worklist" });
  };
  const shape = waves ? `is-${layout.value}` : "is-home";
  return (
    <Shell dark strip={<PatientStrip live={live} link={link.value} />}>
      <h1 class="visually-hidden">{t("live.title")}</h1>
      <Announcer room={live.room} />
      <div
        class={`live ${shape} ${wide.value && waves ? "is-wide" : ""}`}
        data-layout={waves ? layout.value : "home"}
        data-standing={standing}
      >
        <div class="live-parts">
          {waves && (
            <>
              <WavePanel
                live={live}
                layout={layout.value}
                frozen={frozen.value && !over}
                locked={locked}
                speed={speed}
                gain={gain}
                stale={stale || over}
              />
              <NumericsColumn live={live} stale={stale || over} />
            </>
          )}
          <CallPanel live={live} wide={wide} chosen={chosen} widens={waves && layout.value === "examine"} over={over} />
          <SidePanel live={live} tab={tab} standing={standing} over={over} onAsk={ask} />
          <RoomNotes
            live={live}
            link={link.value}
            standing={standing}
            refusal={live.room.socketState.value === "refused" ? live.room.refusal.value : fault.value}
            over={over}
            onAdmit={() => void change(() => api.admit(id))}
            onPhone={() => {
              tab.value = "patient";
            }}
          />
          <ElsewhereNote room={live.room} />
        </div>
        <BottomBar
          live={live}
          layout={layout.value}
          waves={waves}
          frozen={frozen.value}
          over={over}
          ends={standing === "clinician"}
          locked={locked}
          onLayout={toggleLayout}
          onFreeze={toggleFreeze}
          onPicture={nextPicture}
          onKeys={() => ask("keys")}
          onEnd={finish}
        />
      </div>
      {asking.value === "end" && <EndDialog onClose={close} onEnd={() => void end()} />}
      {asking.value === "keys" && <KeysDialog onClose={close} />}
      {asking.value === "invite" && info !== null && <InviteDialog consultation={info} onClose={close} />}
      {asking.value === "handover" && info !== null && (
        <HandOverDialog
          info={info}
          onClose={close}
          onDone={(after) => {
            if (after !== null) live.room.learn(after);
            close();
          }}
        />
      )}
      {asking.value === "colleague" && info !== null && (
        <SecondClinicianDialog info={info} onClose={close} onDone={close} />
      )}
    </Shell>
  );
}

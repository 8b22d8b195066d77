/** The live consultation: waves, numbers and picture of one station on one page, in two layouts. */
import { useComputed, useSignal } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";
import { ApiError, api } from "../api/client";
import { KeysDialog } from "../help/KeysDialog";
import { errorSentence, t } from "../i18n";
import { beforeSignOut, noticeSignedOut } from "../parts/account";
import { Dialog } from "../parts/Dialog";
import { useKeys } from "../parts/keys";
import { ErrorNote, Shell } from "../parts/Shell";
import { now } from "../parts/ticking";
import { addressOf, go } from "../router";
import { GAINS_MM_MV, SPEEDS_MM_S } from "../waves/paper";
import type { BoardLayout } from "../waves/rows";
import { BottomBar } from "./BottomBar";
import { CallPanel } from "./CallPanel";
import { LiveConsultation } from "./consultation";
import { isOver, linkFacts } from "./facts";
import { LinkBanner } from "./LinkBanner";
import { linkState } from "./linkstate";
import { NumericsColumn } from "./NumericsColumn";
import { PatientStrip } from "./PatientStrip";
import { neighbour, WavePanel } from "./WavePanel";

export function LivePage({ id }: { id: string }) {
  const live = useMemo(() => new LiveConsultation(id), [id]);
  useEffect(() => {
    const takeBack = beforeSignOut(() => live.close());
    return () => {
      takeBack();
      void live.close();
    };
  }, [live]);
  const layout = useSignal<BoardLayout>("examine");
  const wide = useSignal(false);
  const frozen = useSignal(false);
  const speed = useSignal<number>(25);
  const gain = useSignal<number>(10);
  const asking = useSignal<"end" | "keys" | null>(null);
  const fault = useSignal<ApiError | null>(null);
  const link = useComputed(() => {
    now.value;
    return linkState(linkFacts(live));
  });
  const state = live.info.value?.state;
  const over = isOver(state);
  const locked = over ? t("live.locked_over") : frozen.value ? t("live.locked_frozen") : null;
  // Asked when a key comes, not when the page was drawn: F and ] may come in one go.
  const unlessLocked = (act: () => void) => () => {
    if (!isOver(live.info.value?.state) && !frozen.value) act();
  };
  const stale = ["interrupted", "recovering", "offline"].includes(link.value);
  const ask = (what: "end" | "keys" | null) => {
    asking.value = what;
  };
  const toggleLayout = unlessLocked(() => {
    layout.value = layout.value === "examine" ? "talk" : "examine";
  });
  const toggleFreeze = () => {
    if (!over) frozen.value = !frozen.value;
  };
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
    KeyA: () => {
      if (!over) live.call.setMicrophone(!live.call.microphoneOn.value);
    },
    KeyV: () => {
      if (!over) live.call.setCamera(!live.call.cameraOn.value);
    },
    Minus: turnGain(-1),
    Equal: turnGain(1),
    BracketLeft: turnSpeed(-1),
    BracketRight: turnSpeed(1),
    "?": () => ask("keys"),
  });
  const end = async () => {
    try {
      live.info.value = await api.end(id);
      asking.value = null;
    } catch (error) {
      asking.value = null;
      if (!noticeSignedOut(error) && error instanceof ApiError) fault.value = error;
    }
  };
  const admit = async () => {
    try {
      live.info.value = await api.admit(id);
    } catch (error) {
      if (!noticeSignedOut(error) && error instanceof ApiError) fault.value = error;
    }
  };
  const refusal = live.socketState.value === "refused" ? live.refusal.value : fault.value;
  return (
    <Shell dark strip={<PatientStrip live={live} link={link.value} />}>
      <h1 class="visually-hidden">{t("live.title")}</h1>
      <div class={`live is-${layout.value} ${wide.value ? "is-wide" : ""}`} data-layout={layout.value}>
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
        <CallPanel live={live} wide={wide} layout={layout.value} over={over} />
        <div class="live-notes">
          <LinkBanner live={live} link={link.value} />
          {refusal !== null && <ErrorNote sentence={errorSentence(refusal.code, refusal.params)} />}
          {state === "waiting" && (
            <div class="over-note" role="status">
              <p>{t("live.not_admitted")}</p>
              <button type="button" class="button primary" onClick={() => void admit()}>
                {t("worklist.open")}
              </button>
            </div>
          )}
          {over && (
            <div class="over-note" role="status">
              <p>{t("live.over")}</p>
              <a class="button primary" href={addressOf({ page: "review", id })}>
                {t("live.to_review")}
              </a>
              <a class="button" href={addressOf({ page: "worklist" })}>
                {t("nav.worklist")}
              </a>
            </div>
          )}
        </div>
        <BottomBar
          live={live}
          layout={layout.value}
          frozen={frozen.value}
          over={over}
          locked={locked}
          onLayout={toggleLayout}
          onFreeze={toggleFreeze}
          onKeys={() => ask("keys")}
          onEnd={() => (over ? go({ page: "review", id }) : ask("end"))}
        />
      </div>
      {asking.value === "end" && (
        <Dialog title={t("live.end_title")} onClose={() => ask(null)}>
          <p>{t("live.end_text")}</p>
          <div class="dialog-actions">
            <button type="button" class="button" onClick={() => ask(null)}>
              {t("live.end_no")}
            </button>
            <button type="button" class="button danger" onClick={() => void end()}>
              {t("live.end_yes")}
            </button>
          </div>
        </Dialog>
      )}
      {asking.value === "keys" && <KeysDialog onClose={() => ask(null)} />}
    </Shell>
  );
}

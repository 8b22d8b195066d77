/** Everything behind a one-visit link: whichever page of the visit stands now. */
import { useComputed, useSignal } from "@preact/signals";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { unfitHere } from "../check/browser";
import { prepareSound } from "../check/tone";
import { t } from "../i18n";
import { Farewell } from "./Farewell";
import { FaultPage } from "./FaultPage";
import { GuestCall } from "./GuestCall";
import { Emergency, GuestShell, Heading } from "./GuestShell";
import { type StageChange, tapsWaitMs } from "./guard";
import { Invitation } from "./Invitation";
import { JoinCheck } from "./JoinCheck";
import { PlaceStep } from "./PlaceStep";
import type { Stage } from "./stage";
import { InsideAppNote, UnfitPage } from "./UnfitPage";
import { Visit } from "./visit";
import { WaitingRoom } from "./WaitingRoom";

export function JoinPage({ token }: { token: string }) {
  const unfit = unfitHere();
  if (unfit !== null) {
    return (
      <GuestShell step="unfit">
        <UnfitPage unfit={unfit} />
        <Emergency />
      </GuestShell>
    );
  }
  return <VisitPage token={token} />;
}

function VisitPage({ token }: { token: string }) {
  const visit = useMemo(() => new Visit(token), [token]);
  useEffect(() => () => void visit.close(), [visit]);
  // A phone lets a page sound only after a touch; the first one anywhere prepares the soft chime.
  useEffect(() => {
    addEventListener("pointerdown", prepareSound, { once: true });
    return () => removeEventListener("pointerdown", prepareSound);
  }, []);
  const stage = useComputed(() => visit.stage.value);
  const now = stage.value;
  const guarded = useGuard(now);
  return (
    <GuestShell step={now} dark={now === "call"} guarded={guarded} from={visit.organisation.value}>
      {now === "invitation" && <InsideAppNote />}
      <Page visit={visit} stage={now} />
    </GuestShell>
  );
}

/** Whether taps wait: known in the very drawing that shows the new page, so that none comes before it. */
function useGuard(stage: Stage): boolean {
  const before = useRef(stage);
  const change = useRef<StageChange | null>(null);
  const waited = useSignal(0);
  waited.value;
  if (before.current !== stage) {
    before.current = stage;
    change.current = { to: stage, atMs: performance.now() };
  }
  const left = tapsWaitMs(change.current, performance.now());
  useEffect(() => {
    if (left === 0) return;
    const timer = setTimeout(() => {
      waited.value++;
    }, left + 1);
    return () => clearTimeout(timer);
  }, [stage, waited.value]);
  return left > 0;
}

function Page({ visit, stage }: { visit: Visit; stage: Stage }) {
  switch (stage) {
    case "looking":
    case "joining":
      return <Connecting visit={visit} stage={stage} />;
    case "fault":
      return <FaultPage visit={visit} />;
    case "invitation":
      return <Invitation visit={visit} />;
    case "checking":
      return <JoinCheck visit={visit} />;
    case "place":
      return <PlaceStep visit={visit} />;
    case "early":
    case "waiting":
      return <WaitingRoom visit={visit} early={stage === "early"} />;
    case "call":
      return <GuestCall visit={visit} />;
    default:
      return <Farewell visit={visit} stage={stage} />;
  }
}

function Connecting({ visit, stage }: { visit: Visit; stage: "looking" | "joining" }) {
  const unanswered = visit.noAnswer.value !== null;
  return (
    <section class="column" data-stage={stage} data-unanswered={unanswered}>
      <Heading>
        {t(unanswered ? "join.no_answer_title" : stage === "looking" ? "join.looking" : "join.joining")}
      </Heading>
      <p class="lead" role="status">
        {unanswered ? t("join.no_answer") : ""}
      </p>
      {unanswered && <Emergency />}
    </section>
  );
}

/** The line: twenty seconds through our own relay, and what came back, in words with the figures small. */
import { useEffect, useRef } from "preact/hooks";
import { errorSentence, t } from "../i18n";
import type { Key } from "../i18n/keys";
import { decimal } from "../i18n/numbers";
import type { OwnDevice } from "./device";
import { LOOP_S, type Loopback } from "./loopback";
import type { Outcome } from "./outcomes";
import type { Verdict } from "./verdict";

const VERDICTS: Record<Verdict, readonly [Key, Key, Outcome]> = {
  good: ["check.line_good", "check.line_good_advice", "works"],
  fair: ["check.line_fair", "check.line_fair_advice", "fair"],
  poor: ["check.line_poor", "check.line_poor_advice", "fails"],
  none: ["check.line_none", "check.line_none_advice", "fails"],
};

interface LineStepProps {
  readonly loop: Loopback;
  readonly camera: OwnDevice;
  readonly microphone: OwnDevice;
  readonly onNext: (outcome: Outcome) => void;
}

export function LineStep({ loop, camera, microphone, onNext }: LineStepProps) {
  const state = loop.state.value;
  const verdict = loop.verdict.value;
  useEffect(() => () => void loop.stop(), []);
  const start = () => void loop.start(camera.track.value, microphone.track.value);
  const running = state === "connecting" || state === "measuring";
  return (
    <>
      {state === "idle" && <p class="lead">{t("check.line_ask", { seconds: LOOP_S })}</p>}
      {running && (
        <>
          <Returned stream={loop.returned.value} />
          <p class="lead" role="status">
            {t(state === "connecting" ? "check.line_connecting" : "check.line_measuring")}
          </p>
          <progress class="progress" max={LOOP_S} value={loop.seconds.value} aria-label={t("check.line_progress")} />
          <p class="muted numbers">{t("check.line_seconds", { seconds: Math.max(0, LOOP_S - loop.seconds.value) })}</p>
        </>
      )}
      {state === "failed" && (
        <div class="trouble" role="alert">
          <p>{errorSentence(loop.fault.value ?? "no_connection")}</p>
        </div>
      )}
      {state === "done" && verdict !== null && <VerdictCard loop={loop} verdict={verdict} />}
      <div class="actions">
        {state === "done" && verdict !== null && (
          <button type="button" class="big primary" onClick={() => onNext(VERDICTS[verdict][2])}>
            {t("check.go_on")}
          </button>
        )}
        {!running && (
          <button type="button" class={`big ${state === "done" ? "" : "primary"}`} onClick={start}>
            {t(state === "idle" ? "check.line_start" : "check.again")}
          </button>
        )}
        {state !== "done" && (
          <button type="button" class="big" onClick={() => onNext("skipped")}>
            {t("check.skip")}
          </button>
        )}
      </div>
    </>
  );
}

function VerdictCard({ loop, verdict }: { loop: Loopback; verdict: Verdict }) {
  const [word, advice] = VERDICTS[verdict];
  const figures = loop.figures.value;
  return (
    <div class={`verdict is-${verdict}`} role="status" data-verdict={verdict}>
      <p class="verdict-word">{t(word)}</p>
      <p>{t(advice)}</p>
      {figures !== null && (
        <details class="more">
          <summary>{t("check.details")}</summary>
          <p class="figures numbers">
            {t("check.line_figures", {
              loss: decimal(figures.loss * 100, 1),
              trip: figures.roundTripMs === null ? "…" : decimal(figures.roundTripMs),
              rate: decimal(figures.kbitS),
            })}
          </p>
        </details>
      )}
    </div>
  );
}

/** The picture that came back: what the others will see. Not mirrored, and silent. */
function Returned({ stream }: { stream: MediaStream | null }) {
  const video = useRef<HTMLVideoElement>(null);
  useEffect(() => {
    if (video.current !== null) video.current.srcObject = stream;
  }, [stream]);
  return (
    <div class="mirror is-returned">
      <video ref={video} autoplay playsInline muted aria-label={t("check.line_returned")} />
      {stream === null && <p class="mirror-words">{t("check.line_waiting_picture")}</p>}
    </div>
  );
}

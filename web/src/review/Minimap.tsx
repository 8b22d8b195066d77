/** The whole consultation in a strip, with the window on it: drag it, or move it by keys as the slider it is. */
import { useEffect, useRef } from "preact/hooks";
import { language, t } from "../i18n";
import { RHYTHM_LEAD } from "../waves/rows";
import { paintOverview } from "./paint";
import type { Review } from "./store";
import { placed } from "./window";
import { momentWords } from "./words";

export function Minimap({ review, width }: { review: Review; width: number }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const dragging = useRef(false);
  const { whole } = review;
  const window = review.window.value;
  const runs = review.overview.value;
  language.value;
  useEffect(() => {
    if (canvas.current === null || review.answer.value === null) return;
    const lead = runs.some((run) => run.describe.channels.some((channel) => channel.name === RHYTHM_LEAD));
    paintOverview(canvas.current, runs, lead ? RHYTHM_LEAD : null, whole);
  }, [runs, review.answer.value, width]);
  const length = whole.toUs - whole.fromUs;
  const share = (us: number) => Math.max(0, Math.min(100, ((us - whole.fromUs) / length) * 100));
  const to = (event: PointerEvent) => {
    const box = (event.currentTarget as Element).getBoundingClientRect();
    const at = whole.fromUs + ((event.clientX - box.left) / box.width) * length;
    const seconds = (window.toUs - window.fromUs) / 1e6;
    review.window.value = placed(at - seconds * 5e5, seconds, whole);
  };
  return (
    <div
      class="minimap"
      role="slider"
      tabIndex={0}
      aria-label={t("review.minimap")}
      aria-valuemin={0}
      aria-valuemax={Math.round(length / 1e6)}
      aria-valuenow={Math.round((window.fromUs - whole.fromUs) / 1e6)}
      aria-valuetext={momentWords(window.fromUs, whole)}
      onPointerDown={(event) => {
        dragging.current = true;
        event.currentTarget.setPointerCapture(event.pointerId);
        to(event);
      }}
      onPointerMove={(event) => {
        if (dragging.current) to(event);
      }}
      onPointerUp={() => {
        dragging.current = false;
      }}
    >
      <canvas ref={canvas} />
      <span
        class="minimap-window"
        style={{
          left: `${share(window.fromUs)}%`,
          width: `${Math.max(0.4, share(window.toUs) - share(window.fromUs))}%`,
        }}
      />
      <span class="minimap-from numbers">{momentWords(whole.fromUs, whole)}</span>
      <span class="minimap-to numbers">{momentWords(whole.toUs, whole)}</span>
    </div>
  );
}

/** The paper: drawn anew when the window, the samples or the size change; dragged by pointer; the cursor reads times. */
import type { Signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { language, t } from "../i18n";
import { zone } from "../i18n/numbers";
import { NOMINAL_PX_PER_MM } from "../waves/paper";
import { paint } from "./paint";
import type { Review } from "./store";
import { TimeLabels } from "./TimeLabels";
import { offsetUs, timeAxis } from "./ticks";
import { lengthS, placed } from "./window";
import { momentWords } from "./words";

interface ReviewWavesProps {
  readonly review: Review;
  readonly width: Signal<number>;
  readonly cursorUs: Signal<number | null>;
  readonly gainMmMv: number;
  /** Whether time is drawn at a paper speed: only then are millimetres of time on it. */
  readonly toScale: boolean;
  readonly scaleWords: string;
}

export function ReviewWaves({ review, width, cursorUs, gainMmMv, toScale, scaleWords }: ReviewWavesProps) {
  const host = useRef<HTMLDivElement>(null);
  const drag = useRef<{ x: number; fromUs: number } | null>(null);
  const window = review.window.value;
  const waves = review.waves.value;
  const words = language.value;
  const axis = timeAxis(window, width.value, offsetUs(window.fromUs, zone.value));
  useEffect(() => {
    const element = host.current;
    if (element === null) return undefined;
    const observer = new ResizeObserver(() => {
      width.value = element.clientWidth;
    });
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  useEffect(() => {
    if (host.current === null || width.value === 0) return;
    const seconds = lengthS(window);
    paint({
      host: host.current,
      runs: waves,
      window,
      paper: { speedMmS: width.value / seconds / NOMINAL_PX_PER_MM, gainMmMv, pxPerMm: NOMINAL_PX_PER_MM },
      axis: toScale ? null : axis,
      words: {
        pleth: t("wave.pleth"),
        respiration: t("wave.respiration"),
        rhythm: t("wave.rhythm"),
        fitted: t("wave.fitted"),
        noData: t("review.no_data"),
        describeTrace: (lead) =>
          t("review.aria_trace", {
            lead,
            from: momentWords(window.fromUs, review.whole),
            to: momentWords(window.toUs, review.whole),
            scale: scaleWords,
          }),
      },
    });
  }, [window, waves, width.value, gainMmMv, toScale, words]);
  const usPerPx = (window.toUs - window.fromUs) / Math.max(1, width.value);
  const down = (event: PointerEvent) => {
    drag.current = { x: event.clientX, fromUs: review.window.value.fromUs };
    (event.currentTarget as Element).setPointerCapture(event.pointerId);
  };
  const moved = (event: PointerEvent) => {
    const left = host.current?.getBoundingClientRect().left ?? 0;
    if (drag.current === null) cursorUs.value = window.fromUs + (event.clientX - left) * usPerPx;
    else {
      const fromUs = drag.current.fromUs - (event.clientX - drag.current.x) * usPerPx;
      review.window.value = placed(fromUs, lengthS(window), review.whole);
    }
  };
  const up = () => {
    drag.current = null;
  };
  const cursor = cursorUs.value;
  // The trend's cursor may be at a time that is not on this paper.
  const cursorX =
    cursor === null || cursor < window.fromUs || cursor > window.toUs ? null : (cursor - window.fromUs) / usPerPx;
  return (
    <section class="review-waves" aria-label={t("wave.title")} aria-busy={review.loading.value}>
      <div class="review-times numbers">
        <span>{momentWords(window.fromUs, review.whole)}</span>
        <span class="review-scale">
          {scaleWords}
          <span role="status">{review.loading.value ? ` · ${t("review.loading")}` : ""}</span>
        </span>
        <span>{momentWords(window.toUs, review.whole)}</span>
      </div>
      <div
        class="review-paper"
        onPointerDown={down}
        onPointerMove={moved}
        onPointerUp={up}
        onPointerCancel={up}
        onPointerLeave={() => {
          if (drag.current === null) cursorUs.value = null;
        }}
      >
        <div class="wave-board" ref={host} data-from-us={window.fromUs} data-to-us={window.toUs} />
        {cursorX !== null && <span class="cursor" style={{ left: `${cursorX}px` }} aria-hidden="true" />}
        {review.answer.value !== null && review.answer.value.streams.length === 0 && (
          <p class="review-empty">{t("review.nothing")}</p>
        )}
      </div>
      {!toScale && <TimeLabels axis={axis} width={width.value} />}
    </section>
  );
}

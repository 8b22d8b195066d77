/** The recorded picture and sound beside the waves, in step with them: whichever is moved takes the other along. */
import { type Signal, useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { recordings as api } from "../api/recordings";
import type { Recording } from "../api/types";
import { t } from "../i18n";
import { clockTime, duration } from "../i18n/numbers";
import { useAsking } from "../parts/asking";
import { Refusal } from "../parts/Field";
import type { Role, Source } from "../protocol/people";
import { tileWords } from "../room/words";
import { chosenFor, following, offMs, placeOf, timeAt } from "./playing";
import type { Review } from "./store";

interface RecordingPlayerProps {
  readonly review: Review;
  readonly cursorUs: Signal<number | null>;
}

export function RecordingPlayer({ review, cursorUs }: RecordingPlayerProps) {
  const asking = useAsking();
  const all = useSignal<readonly Recording[]>([]);
  const chosen = useSignal<string | null>(null);
  useEffect(() => {
    void (async () => {
      all.value = (await asking.ask(() => api.of(review.id))) ?? [];
      chosen.value = chosenFor(all.value, review.window.peek().fromUs)?.id ?? null;
    })();
  }, [review]);
  const one = all.value.find((each) => each.id === chosen.value) ?? null;
  if (one === null) return <Refusal error={asking.fault.value} />;
  return (
    <section class="review-player" aria-label={t("recording.play")}>
      {all.value.length > 1 && (
        <label class="player-which">
          {t("recording.which")}
          <select
            value={one.id}
            onChange={({ currentTarget }) => {
              chosen.value = currentTarget.value;
            }}
          >
            {all.value.map((each) => (
              <option key={each.id} value={each.id}>
                {wordsOf(each)}
              </option>
            ))}
          </select>
        </label>
      )}
      {one.ended_at === null ? (
        <p class="muted">{t("recording.running")}</p>
      ) : (
        <Player key={one.id} one={one} review={review} cursorUs={cursorUs} />
      )}
    </section>
  );
}

function Player({ one, review, cursorUs }: { one: Recording } & RecordingPlayerProps) {
  const video = useRef<HTMLVideoElement>(null);
  const failed = useSignal(false);
  // The window as the player last left it: any other one was moved by hand.
  const left = useRef(review.window.peek());
  const window = review.window.value;
  useEffect(() => {
    const element = video.current;
    if (element === null) return undefined;
    let asked = 0;
    const show = (seconds: number) => {
      const us = timeAt(one, seconds);
      cursorUs.value = us;
      left.current = following(review.window.peek(), us, review.whole);
      review.window.value = left.current;
    };
    // The shown frame's own time, not the clock of the element, which runs ahead of it.
    const frame = (_: number, shown: VideoFrameCallbackMetadata) => {
      show(shown.mediaTime);
      asked = element.requestVideoFrameCallback(frame);
    };
    const timed = () => {
      if (!one.picture) show(element.currentTime);
    };
    if (one.picture) asked = element.requestVideoFrameCallback(frame);
    element.addEventListener("timeupdate", timed);
    return () => {
      element.removeEventListener("timeupdate", timed);
      if (asked !== 0) element.cancelVideoFrameCallback(asked);
    };
  }, [one]);
  useEffect(() => {
    const element = video.current;
    if (element === null || window === left.current) return;
    left.current = window;
    const now = timeAt(one, element.currentTime);
    const place = placeOf(one, window.fromUs);
    if (place !== null && (now < window.fromUs || now >= window.toUs)) element.currentTime = place;
  }, [window, one]);
  const off = offMs(one);
  return (
    <>
      <video
        ref={video}
        src={api.address(one.id)}
        controls
        preload="metadata"
        class={one.picture ? "" : "is-sound"}
        data-recording={one.id}
        data-began-us={one.began_us}
        onError={() => {
          failed.value = true;
        }}
      />
      {failed.value && <p class="note is-warning">{t("recording.cannot")}</p>}
      <p class={`player-step ${off === null ? "is-off" : "muted"}`} data-off-ms={off ?? "none"}>
        {off === null ? t("recording.not_aligned") : t("recording.aligned", { ms: off })}
      </p>
      {!one.picture && (
        <p class="muted">{one.picture_left_out ? t("recording.left_out") : t("recording.sound_only")}</p>
      )}
      {one.ended_why === "cut" && <p class="muted">{t("recording.cut")}</p>}
    </>
  );
}

function wordsOf(one: Recording): string {
  const tile = { participant: one.participant, role: one.by as Role, source: one.source as Source };
  return t("recording.one", {
    who: tileWords([], tile),
    time: clockTime(one.began_us / 1000, true),
    length: duration(one.length_ms),
  });
}

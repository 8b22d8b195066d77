/** What the clinician shares of the measurements: the numbers and one rhythm strip, with nothing to set. */
import { useSignal } from "@preact/signals";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { language, t } from "../i18n";
import { decimal } from "../i18n/numbers";
import { NumericsColumn } from "../live/NumericsColumn";
import { OriginBadge } from "../parts/badges";
import type { RoomConnection } from "../room/connection";
import { Board } from "../waves/board";
import { NOMINAL_PX_PER_MM } from "../waves/paper";
import type { Visit } from "./visit";

const PAPER = { speedMmS: 25, gainMmMv: 10, pxPerMm: NOMINAL_PX_PER_MM };

export function SharedVitals({ visit, room }: { visit: Visit; room: RoomConnection }) {
  const host = useRef<HTMLDivElement>(null);
  const board = useRef<Board | null>(null);
  const seconds = useSignal(0);
  const vitals = visit.vitals.value;
  const numbers = useMemo(
    () => (vitals === null ? null : { readings: vitals.readings, streams: vitals.streams, clock: room.clock }),
    [vitals, room],
  );
  const drawn = vitals?.drawn.value === true;
  useEffect(() => {
    if (host.current === null || vitals === null) return undefined;
    const made = new Board(
      host.current,
      (kind) => vitals.viewOf(kind),
      (shown) => {
        seconds.value = shown;
      },
    );
    board.current = made;
    made.start();
    return () => made.stop();
  }, [vitals, drawn]);
  const words = language.value;
  useEffect(() => {
    board.current?.apply({
      layout: "talk",
      paper: PAPER,
      labels: {
        row: { rhythm: t("wave.rhythm"), pleth: t("wave.pleth"), respiration: t("wave.respiration") },
        fitted: t("wave.fitted"),
        leadOff: t("wave.lead_off"),
        describeTrace: (lead, calibrated) =>
          calibrated
            ? t("wave.aria_calibrated", { lead, speed: decimal(PAPER.speedMmS), gain: PAPER.gainMmMv })
            : t("wave.aria_fitted", { lead, speed: decimal(PAPER.speedMmS) }),
      },
    });
  }, [words, vitals, drawn]);
  if (vitals === null || numbers === null) return null;
  const stale = room.socketState.value !== "open";
  return (
    <section class="shared-vitals" aria-labelledby="shared-title" data-shared>
      <h2 id="shared-title">{t("in.vitals")}</h2>
      <NumericsColumn live={numbers} stale={stale} />
      {drawn && (
        <>
          <div class={`wave-board ${stale ? "is-stale" : ""}`} ref={host} />
          <p class="wave-scale muted">
            <span class="numbers">
              {t("wave.scale", {
                speed: decimal(PAPER.speedMmS),
                gain: PAPER.gainMmMv,
                seconds: decimal(seconds.value, 1),
              })}
            </span>
            <span>{t("wave.uncalibrated_screen")}</span>
            <OriginBadge origin={vitals.streams.value.find((stream) => stream.kind === "ecg" && stream.live)?.origin} />
          </p>
        </>
      )}
    </section>
  );
}

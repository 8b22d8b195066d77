/** The waves with their paper: speed, gain, filter, what the screen can promise. */
import type { Signal } from "@preact/signals";
import { useSignal } from "@preact/signals";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { language, t } from "../i18n";
import { decimal, withDecimalMark } from "../i18n/numbers";
import { OriginBadge } from "../parts/badges";
import type { Describe } from "../protocol/messages";
import { Board } from "../waves/board";
import { GAINS_MM_MV, NOMINAL_PX_PER_MM, SPEEDS_MM_S } from "../waves/paper";
import type { BoardLayout } from "../waves/rows";
import type { LiveConsultation, ViewName } from "./consultation";

interface WavePanelProps {
  readonly live: LiveConsultation;
  readonly layout: BoardLayout;
  readonly frozen: boolean;
  /** Why nothing about the traces may change now; null when it may. */
  readonly locked: string | null;
  readonly speed: Signal<number>;
  readonly gain: Signal<number>;
  readonly stale: boolean;
}

/** The value `steps` places further in a list of choices, staying inside it. */
export function neighbour(choices: readonly number[], value: number, steps: number): number {
  const at = Math.max(0, Math.min(choices.length - 1, choices.indexOf(value) + steps));
  return choices[at] ?? value;
}

export function WavePanel(props: WavePanelProps) {
  const { live, layout, frozen, locked, speed, gain } = props;
  const host = useRef<HTMLDivElement>(null);
  const board = useRef<Board | null>(null);
  const seconds = useSignal(0);
  const drawn = useSignal<Describe | null>(null);
  useEffect(() => {
    if (host.current === null) return undefined;
    const made = new Board(
      host.current,
      (kind) => live.viewOf(kind),
      (shown) => {
        seconds.value = shown;
      },
      (ecg) => {
        drawn.value = ecg;
      },
    );
    board.current = made;
    made.start();
    return () => made.stop();
  }, [live]);
  const words = language.value;
  const paper = useMemo(
    () => ({ speedMmS: speed.value, gainMmMv: gain.value, pxPerMm: NOMINAL_PX_PER_MM }),
    [speed.value, gain.value],
  );
  useEffect(() => {
    board.current?.apply({
      layout,
      paper,
      labels: {
        row: { rhythm: t("wave.rhythm"), pleth: t("wave.pleth"), respiration: t("wave.respiration") },
        fitted: t("wave.fitted"),
        leadOff: t("wave.lead_off"),
        describeTrace: (lead, calibrated) =>
          calibrated
            ? t("wave.aria_calibrated", { lead, speed: decimal(paper.speedMmS, 1), gain: paper.gainMmMv })
            : t("wave.aria_fitted", { lead, speed: decimal(paper.speedMmS, 1) }),
      },
    });
  }, [layout, paper, words]);
  useEffect(() => {
    if (board.current !== null) board.current.frozen = locked !== null;
  }, [locked !== null]);
  return (
    <section class={`waves ${props.stale ? "is-stale" : ""}`} aria-label={t("wave.title")} data-frozen={frozen}>
      <div class="wave-head">
        <EcgView live={live} drawn={drawn.value} locked={locked} />
        <Choice
          legend={t("wave.speed")}
          unit="mm/s"
          choices={SPEEDS_MM_S}
          chosen={speed.value}
          locked={locked}
          onChoose={(value) => {
            speed.value = value;
          }}
        />
        <Choice
          legend={t("wave.gain")}
          unit="mm/mV"
          choices={GAINS_MM_MV}
          chosen={gain.value}
          locked={locked}
          onChoose={(value) => {
            gain.value = value;
          }}
        />
      </div>
      <div class="wave-board" ref={host} />
      <p class="wave-scale muted">
        <span class="numbers">
          {t("wave.scale", {
            speed: decimal(speed.value, speed.value % 1 ? 1 : 0),
            gain: gain.value,
            seconds: decimal(seconds.value, 1),
          })}
        </span>
        <span>{t("wave.uncalibrated_screen")}</span>
      </p>
      {frozen && <p class="frozen-mark">{t("wave.frozen")}</p>}
    </section>
  );
}

/** The filter of the ECG whose pixels are on the screen, by name, with the raw trace one click away. */
function EcgView(props: { live: LiveConsultation; drawn: Describe | null; locked: string | null }) {
  const { live, drawn, locked } = props;
  live.viewsChanged.value;
  const shown = drawn?.name ?? live.ecgView.value;
  const label = (shown === "monitor" && drawn !== null ? drawn : live.describeOf("ecg", "monitor"))?.filter?.label;
  const button = (name: ViewName, words: string) => (
    <button
      type="button"
      aria-pressed={shown === name}
      aria-disabled={locked !== null}
      title={locked ?? undefined}
      onClick={() => {
        if (locked === null) live.chooseEcgView(name);
      }}
    >
      {words}
    </button>
  );
  return (
    <div class="ecg-view">
      <span class="ecg-name">
        {t("wave.ecg")}
        <OriginBadge origin={drawn?.origin} />
      </span>
      <div class="choice" role="group" aria-label={t("wave.filter")}>
        {button("monitor", label === undefined ? t("wave.monitor") : withDecimalMark(label))}
        {button("raw", t("wave.raw"))}
      </div>
    </div>
  );
}

function Choice(props: {
  legend: string;
  unit: string;
  choices: readonly number[];
  chosen: number;
  locked: string | null;
  onChoose: (value: number) => void;
}) {
  return (
    <div class="choice" role="group" aria-label={`${props.legend}, ${props.unit}`}>
      {props.choices.map((value) => (
        <button
          key={value}
          type="button"
          aria-pressed={value === props.chosen}
          aria-disabled={props.locked !== null}
          title={props.locked ?? undefined}
          onClick={() => {
            if (props.locked === null) props.onChoose(value);
          }}
        >
          {decimal(value, value % 1 ? 1 : 0)}
        </button>
      ))}
      <span class="choice-unit muted">{props.unit}</span>
    </div>
  );
}

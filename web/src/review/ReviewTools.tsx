/** What can be done with the paper: where it is, how much of it, how it is drawn, and what leads away from it. */
import type { Signal } from "@preact/signals";
import type { View } from "../api/review";
import { t } from "../i18n";
import type { Key } from "../i18n/keys";
import { decimal, withDecimalMark } from "../i18n/numbers";
import { Icon } from "../parts/Icon";
import { addressOf } from "../router";
import { GAINS_MM_MV } from "../waves/paper";
import { hasDiagnostic } from "./reach";
import type { Review } from "./store";
import { type Zoom, zoomKey } from "./window";
import { lengthWords } from "./words";

interface ReviewToolsProps {
  readonly review: Review;
  readonly zooms: readonly Zoom[];
  readonly zoom: Zoom;
  readonly secondsOf: (zoom: Zoom) => number;
  readonly onZoom: (zoom: Zoom) => void;
  readonly onStep: (by: 1 | -1) => void;
  readonly onPage: (by: 1 | -1) => void;
  readonly gain: Signal<number>;
  readonly trends: Signal<boolean>;
  readonly exporting: Signal<boolean>;
  readonly keys: Signal<boolean>;
  /** Null while there is no note to go to. */
  readonly onWritten: (() => void) | null;
}

export function ReviewTools(props: ReviewToolsProps) {
  const { review, zooms, zoom, gain, trends } = props;
  return (
    <div class="review-tools">
      <a class="button" href={addressOf({ page: "worklist" })}>
        <Icon name="back" size={18} />
        {t("nav.worklist")}
      </a>
      <Pair
        words={t("review.move")}
        back={["back", "review.page_back"]}
        forward={["forward", "review.page_forward"]}
        onPress={props.onPage}
      />
      <div class="zoom-tools">
        <label class="tool-choice">
          <span>{t("review.zoom")}</span>
          <select
            data-command="zoom"
            aria-label={t("review.zoom")}
            value={zoomKey(zoom)}
            onChange={({ currentTarget }) => {
              const chosen = zooms.find((one) => zoomKey(one) === currentTarget.value);
              if (chosen !== undefined) props.onZoom(chosen);
            }}
          >
            <optgroup label={t("review.to_scale")}>
              {zooms.filter((one) => one.kind === "paper").map((one) => zoomOption(one, props.secondsOf))}
            </optgroup>
            <optgroup label={t("review.by_length")}>
              {zooms.filter((one) => one.kind !== "paper").map((one) => zoomOption(one, props.secondsOf))}
            </optgroup>
          </select>
        </label>
        <Pair
          words={t("review.zoom")}
          back={["out", "review.more_time"]}
          forward={["in", "review.less_time"]}
          onPress={(by) => props.onStep(by < 0 ? 1 : -1)}
        />
      </div>
      <label class="tool-choice">
        <span>{t("wave.gain")}</span>
        <select
          aria-label={t("wave.gain")}
          value={String(gain.value)}
          onChange={({ currentTarget }) => {
            gain.value = Number(currentTarget.value);
          }}
        >
          {GAINS_MM_MV.map((one) => (
            <option key={one} value={String(one)}>
              {one} mm/mV
            </option>
          ))}
        </select>
      </label>
      <Filter review={review} />
      <button
        type="button"
        class="button"
        data-command="trends"
        aria-pressed={trends.value}
        aria-keyshortcuts="T"
        onClick={() => {
          trends.value = !trends.value;
        }}
      >
        <Icon name="pulse" size={20} />
        {t("trend.title")}
      </button>
      <button
        type="button"
        class="button"
        data-command="export"
        onClick={() => {
          props.exporting.value = true;
        }}
      >
        <Icon name="download" size={20} />
        {t("export.open")}
      </button>
      {props.onWritten !== null && (
        <button type="button" class="button to-written" onClick={props.onWritten}>
          <Icon name="pen" size={20} />
          {t("review.to_written")}
        </button>
      )}
      <button
        type="button"
        class="button keys-button"
        title={t("bar.keys")}
        aria-keyshortcuts="?"
        onClick={() => {
          props.keys.value = true;
        }}
      >
        <Icon name="keyboard" size={20} />
        <span class="visually-hidden">{t("bar.keys")}</span>
      </button>
    </div>
  );
}

function zoomOption(zoom: Zoom, secondsOf: (zoom: Zoom) => number) {
  const key = zoomKey(zoom);
  const length = lengthWords(secondsOf(zoom));
  return (
    <option key={key} value={key}>
      {zoom.kind === "paper"
        ? `${decimal(zoom.speedMmS, zoom.speedMmS % 1 ? 1 : 0)} mm/s`
        : zoom.kind === "all"
          ? t("review.all_of", { length })
          : length}
    </option>
  );
}

type IconAndWords = readonly ["back" | "forward" | "in" | "out", Key];

function Pair(props: { words: string; back: IconAndWords; forward: IconAndWords; onPress: (by: 1 | -1) => void }) {
  const button = ([icon, key]: IconAndWords, by: 1 | -1) => (
    <button type="button" onClick={() => props.onPress(by)} title={t(key)}>
      <Icon name={icon} size={18} />
      <span class="visually-hidden">{t(key)}</span>
    </button>
  );
  return (
    <div class="choice" role="group" aria-label={props.words}>
      {button(props.back, -1)}
      {button(props.forward, 1)}
    </div>
  );
}

/** The filter of the ECG by name; what is drawn is named by the server. */
function Filter({ review }: { review: Review }) {
  const streams = review.answer.value?.streams ?? [];
  const drawn = review.waves.value.get("ecg")?.at(-1)?.describe;
  const chosen = review.view.value;
  const named = (view: View, otherwise: string) => {
    if (drawn?.name !== view || drawn.filter == null) return otherwise;
    const label = withDecimalMark(drawn.filter.label);
    return drawn.filter.phase === "causal" ? label : `${label} · ${t("review.zero_phase")}`;
  };
  const button = (view: View, words: string) => (
    <button
      type="button"
      aria-pressed={chosen === view}
      onClick={() => {
        review.view.value = view;
      }}
    >
      {words}
    </button>
  );
  return (
    <div class="filter-tools">
      <div class="choice" role="group" aria-label={t("wave.filter")}>
        {button("monitor", named("monitor", t("wave.monitor")))}
        {hasDiagnostic(streams) && button("diagnostic", named("diagnostic", t("review.diagnostic")))}
        {button("raw", t("wave.raw"))}
      </div>
      {drawn !== undefined && drawn.name === "raw" && chosen !== "raw" && !review.loading.value && (
        <span class="muted" role="status">
          {t("review.not_filtered")}
        </span>
      )}
    </div>
  );
}

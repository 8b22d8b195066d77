/** What was stored of a consultation: waves on paper that scroll and zoom, gaps as gaps, the numbers at the cursor. */
import { useSignal } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";
import { KeysDialog } from "../help/KeysDialog";
import { errorSentence, t } from "../i18n";
import { clockTime, day, decimal, withDecimalMark } from "../i18n/numbers";
import { OriginBadge, StateBadge } from "../parts/badges";
import { Icon } from "../parts/Icon";
import { useKeys } from "../parts/keys";
import { bornWords, patientName } from "../parts/patient";
import { ErrorNote, Shell } from "../parts/Shell";
import type { ConsultationInfo, Origin } from "../protocol/messages";
import { addressOf } from "../router";
import { NOMINAL_PX_PER_MM } from "../waves/paper";
import { Minimap } from "./Minimap";
import { NumbersAt } from "./NumbersAt";
import { RecordingPlayer } from "./RecordingPlayer";
import { ReviewWaves } from "./ReviewWaves";
import { Review } from "./store";
import { WRITTEN_ID, WrittenParts } from "./WrittenParts";
import { placed, ZOOMS, type Zoom, zoomed, zoomSeconds } from "./window";

const OVERVIEW_COLUMNS = 1_200;

export function ReviewPage({ id }: { id: string }) {
  const review = useMemo(() => new Review(id), [id]);
  const width = useSignal(0);
  const zoom = useSignal<Zoom>(ZOOMS[1] ?? { kind: "all" });
  const cursorUs = useSignal<number | null>(null);
  const gain = useSignal(10);
  const keys = useSignal(false);
  const changed = useSignal<ConsultationInfo | null>(null);
  useEffect(() => void review.open(OVERVIEW_COLUMNS), [review]);
  const answer = review.answer.value;
  const info = changed.value ?? answer?.consultation ?? null;
  const window = review.window.value;
  useEffect(() => {
    if (width.value > 0 && answer !== null) {
      const seconds = zoomSeconds(zoom.value, width.value, NOMINAL_PX_PER_MM, review.whole);
      review.window.value = zoomed(review.window.value, seconds, review.whole);
    }
  }, [width.value, zoom.value, answer]);
  useEffect(() => void review.load(width.value), [window, review.view.value, width.value, answer]);
  const move = (seconds: number) => {
    const { fromUs, toUs } = review.window.value;
    review.window.value = placed(fromUs + seconds * 1e6, (toUs - fromUs) / 1e6, review.whole);
  };
  const step = (by: number) => {
    const at = ZOOMS.indexOf(zoom.value);
    zoom.value = ZOOMS[Math.max(0, Math.min(ZOOMS.length - 1, at + by))] ?? zoom.value;
  };
  const page = (window.toUs - window.fromUs) / 1e6;
  useKeys({
    ArrowLeft: () => move(-Math.max(1, page / 10)),
    ArrowRight: () => move(Math.max(1, page / 10)),
    PageUp: () => move(-page * 0.9),
    PageDown: () => move(page * 0.9),
    Home: () => move(-1e9),
    End: () => move(1e9),
    Equal: () => step(-1),
    Minus: () => step(1),
    "?": () => {
      keys.value = true;
    },
  });
  return (
    <Shell
      strip={answer === null || info === null ? null : <ReviewStrip info={info} origins={originsOf(answer.streams)} />}
    >
      <div class={`page review ${answer?.streams.length === 0 ? "is-empty" : ""}`}>
        <h1 class="visually-hidden">{t("review.title")}</h1>
        {review.fault.value !== null && (
          <ErrorNote sentence={errorSentence(review.fault.value.code, review.fault.value.params)} />
        )}
        <div class="review-tools">
          <a class="button" href={addressOf({ page: "worklist" })}>
            <Icon name="back" size={18} />
            {t("nav.worklist")}
          </a>
          <Moves onMove={move} page={page} />
          <div class="choice" role="group" aria-label={t("review.zoom")}>
            {ZOOMS.map((one) => (
              <button
                key={JSON.stringify(one)}
                type="button"
                aria-pressed={one === zoom.value}
                onClick={() => {
                  zoom.value = one;
                }}
              >
                {zoomWords(one, width.value)}
              </button>
            ))}
          </div>
          <div class="choice" role="group" aria-label={t("wave.filter")}>
            <button
              type="button"
              aria-pressed={review.view.value === "monitor"}
              onClick={() => {
                review.view.value = "monitor";
              }}
            >
              {filterWords(review)}
            </button>
            <button
              type="button"
              aria-pressed={review.view.value === "raw"}
              onClick={() => {
                review.view.value = "raw";
              }}
            >
              {t("wave.raw")}
            </button>
          </div>
          {info !== null && (
            <button type="button" class="button to-written" onClick={toWritten}>
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
              keys.value = true;
            }}
          >
            <Icon name="keyboard" size={20} />
            <span class="visually-hidden">{t("bar.keys")}</span>
          </button>
        </div>
        <Minimap review={review} />
        <div class="review-body">
          <ReviewWaves
            review={review}
            width={width}
            cursorUs={cursorUs}
            gainMmMv={gain.value}
            scaleWords={scaleWords(zoom.value, page, gain.value)}
          />
          <div class="review-side">
            <RecordingPlayer review={review} cursorUs={cursorUs} />
            <NumbersAt review={review} cursorUs={cursorUs.value ?? (window.fromUs + window.toUs) / 2} />
          </div>
        </div>
      </div>
      {info !== null && (
        <WrittenParts
          info={info}
          onChanged={(now) => {
            changed.value = now;
          }}
        />
      )}
      {keys.value && (
        <KeysDialog
          onClose={() => {
            keys.value = false;
          }}
        />
      )}
    </Shell>
  );
}

function toWritten(): void {
  const written = document.getElementById(WRITTEN_ID);
  written?.scrollIntoView({ block: "start" });
  written?.focus({ preventScroll: true });
}

function originsOf(streams: readonly { readonly origin: Origin }[]): Origin[] {
  return [...new Set(streams.map((stream) => stream.origin))];
}

function ReviewStrip({ info, origins }: { info: ConsultationInfo; origins: readonly Origin[] }) {
  const at = Date.parse(info.live_at ?? info.created_at);
  return (
    <div class="patient-strip">
      <div class="patient-who">
        <strong>{patientName(info.patient)}</strong>
        <span class="muted">{bornWords(info.patient)}</span>
      </div>
      <div class="patient-where">
        <span>{info.station?.name ?? t("worklist.by_link")}</span>
        <span class="muted numbers">
          {day(at)}, {clockTime(at)}
        </span>
      </div>
      <div class="patient-origins">
        {origins.map((origin) => (
          <OriginBadge key={origin} origin={origin} />
        ))}
      </div>
      <StateBadge state={info.state} />
    </div>
  );
}

function Moves({ onMove, page }: { onMove: (seconds: number) => void; page: number }) {
  return (
    <div class="choice" role="group" aria-label={t("review.move")}>
      <button type="button" onClick={() => onMove(-page * 0.9)} title={t("review.page_back")}>
        <Icon name="back" size={18} />
        <span class="visually-hidden">{t("review.page_back")}</span>
      </button>
      <button type="button" onClick={() => onMove(page * 0.9)} title={t("review.page_forward")}>
        <Icon name="forward" size={18} />
        <span class="visually-hidden">{t("review.page_forward")}</span>
      </button>
    </div>
  );
}

function zoomWords(zoom: Zoom, width: number): string {
  if (zoom.kind === "all") return t("review.all");
  const seconds = zoomSeconds(zoom, width, NOMINAL_PX_PER_MM, { fromUs: 0, toUs: 0 });
  return seconds < 60
    ? t("review.seconds", { seconds: decimal(seconds) })
    : t("review.minutes", { minutes: decimal(seconds / 60) });
}

function scaleWords(zoom: Zoom, seconds: number, gain: number): string {
  if (zoom.kind === "paper") {
    const speed = decimal(zoom.speedMmS, zoom.speedMmS % 1 ? 1 : 0);
    return `${t("review.scale", { speed, gain, seconds: decimal(seconds, 1) })} · ${t("wave.uncalibrated_screen")}`;
  }
  return t("review.compressed", { gain });
}

function filterWords(review: Review): string {
  const filter = review.view.value === "monitor" ? review.waves.value.get("ecg")?.at(-1)?.describe.filter : null;
  if (filter == null) return t("wave.monitor");
  const label = withDecimalMark(filter.label);
  return filter.phase === "causal" ? label : `${label} · ${t("review.zero_phase")}`;
}

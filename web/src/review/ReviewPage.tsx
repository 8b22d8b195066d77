/** What was stored of a consultation: waves on paper that scroll and zoom, gaps as gaps, the numbers at the cursor. */
import { useSignal } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";
import { KeysDialog } from "../help/KeysDialog";
import { errorSentence, t } from "../i18n";
import { clockTime, day, decimal } from "../i18n/numbers";
import { neighbour } from "../live/WavePanel";
import { OriginBadge, StateBadge } from "../parts/badges";
import { useKeys } from "../parts/keys";
import { bornWords, patientName } from "../parts/patient";
import { ErrorNote, Shell } from "../parts/Shell";
import type { ConsultationInfo, Origin } from "../protocol/messages";
import { GAINS_MM_MV, NOMINAL_PX_PER_MM } from "../waves/paper";
import { ExportDialog } from "./ExportDialog";
import { Minimap } from "./Minimap";
import { NumbersAt } from "./NumbersAt";
import { RecordingPlayer } from "./RecordingPlayer";
import { ReviewTools } from "./ReviewTools";
import { ReviewWaves } from "./ReviewWaves";
import { Review } from "./store";
import { Trends } from "./Trends";
import { WRITTEN_ID, WrittenParts } from "./WrittenParts";
import {
  arrowSeconds,
  FIRST_ZOOM,
  lengthS,
  neighbourZoom,
  placed,
  RAW_UP_TO_S,
  type Zoom,
  zoomed,
  zoomSeconds,
  zoomsFor,
} from "./window";
import { lengthWords } from "./words";

const OVERVIEW_COLUMNS = 1_200;
/** A page turned leaves this much of the one before. */
const PAGE_SHARE = 0.9;
/** From this length on the trends are open: the shortest that can be chosen for them. */
const TRENDS_FROM_S = 900;
const SHIFTED = 10;

export function ReviewPage({ id }: { id: string }) {
  const review = useMemo(() => new Review(id), [id]);
  const width = useSignal(0);
  const zoom = useSignal<Zoom>(FIRST_ZOOM);
  const cursorUs = useSignal<number | null>(null);
  const gain = useSignal<number>(10);
  const keys = useSignal(false);
  const trends = useSignal(false);
  const exporting = useSignal(false);
  const changed = useSignal<ConsultationInfo | null>(null);
  useEffect(() => {
    void review.open(OVERVIEW_COLUMNS);
    return () => review.close();
  }, [review]);
  const answer = review.answer.value;
  const info = changed.value ?? answer?.consultation ?? null;
  const window = review.window.value;
  const secondsOf = (one: Zoom) => zoomSeconds(one, width.value, NOMINAL_PX_PER_MM, review.whole);
  const zooms = useMemo(() => zoomsFor(review.whole), [answer]);
  useEffect(() => {
    if (answer !== null) trends.value = answer.numerics.length > 1 && lengthS(review.whole) >= TRENDS_FROM_S;
  }, [answer]);
  useEffect(() => {
    if (width.value > 0 && answer !== null) {
      review.window.value = zoomed(review.window.value, secondsOf(zoom.value), review.whole);
    }
  }, [width.value, zoom.value, answer]);
  useEffect(() => {
    review.load(Math.round(width.value * (globalThis.devicePixelRatio || 1)));
  }, [window, review.view.value, width.value, answer]);
  const move = (seconds: number) => {
    const { fromUs, toUs } = review.window.value;
    review.window.value = placed(fromUs + seconds * 1e6, (toUs - fromUs) / 1e6, review.whole);
  };
  const step = (by: 1 | -1) => {
    zoom.value = neighbourZoom(zooms, zoom.value, by, secondsOf);
  };
  const page = lengthS(window);
  const arrow = (by: 1 | -1) => (event: KeyboardEvent) =>
    move(by * arrowSeconds(page) * (event.shiftKey ? SHIFTED : 1));
  useKeys({
    ArrowLeft: arrow(-1),
    ArrowRight: arrow(1),
    PageUp: () => move(-page * PAGE_SHARE),
    PageDown: () => move(page * PAGE_SHARE),
    Home: () => move(-1e9),
    End: () => move(1e9),
    BracketLeft: () => step(1),
    BracketRight: () => step(-1),
    Equal: () => {
      gain.value = neighbour(GAINS_MM_MV, gain.value, 1);
    },
    Minus: () => {
      gain.value = neighbour(GAINS_MM_MV, gain.value, -1);
    },
    KeyT: () => {
      trends.value = !trends.value;
    },
    "?": () => {
      keys.value = true;
    },
  });
  return (
    <Shell
      strip={answer === null || info === null ? null : <ReviewStrip info={info} origins={originsOf(answer.streams)} />}
    >
      <div
        class={`page review ${answer?.streams.length === 0 ? "is-empty" : ""} ${trends.value ? "has-trends" : ""}`}
        data-loading={review.loading.value}
      >
        <h1 class="visually-hidden">{t("review.title")}</h1>
        {review.fault.value !== null && (
          <ErrorNote sentence={errorSentence(review.fault.value.code, review.fault.value.params)} />
        )}
        <ReviewTools
          review={review}
          zooms={zooms}
          zoom={zoom.value}
          secondsOf={secondsOf}
          onZoom={(chosen) => {
            zoom.value = chosen;
          }}
          onStep={step}
          onPage={(by) => move(by * page * PAGE_SHARE)}
          gain={gain}
          trends={trends}
          exporting={exporting}
          keys={keys}
          onWritten={info === null ? null : toWritten}
        />
        <Minimap review={review} width={width.value} />
        {trends.value && answer !== null && <Trends review={review} cursorUs={cursorUs} />}
        <div class="review-body">
          <ReviewWaves
            review={review}
            width={width}
            cursorUs={cursorUs}
            gainMmMv={gain.value}
            toScale={zoom.value.kind === "paper"}
            scaleWords={scaleWords(zoom.value, page, gain.value, width.value)}
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
      {exporting.value && (
        <ExportDialog
          review={review}
          onClose={() => {
            exporting.value = false;
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

/** A paper speed is only claimed where it is one; otherwise how much time there is, and how much of it a pixel holds. */
function scaleWords(zoom: Zoom, seconds: number, gain: number, width: number): string {
  if (zoom.kind === "paper") {
    const speed = decimal(zoom.speedMmS, zoom.speedMmS % 1 ? 1 : 0);
    return `${t("review.scale", { speed, gain, seconds: decimal(seconds, 1) })} · ${t("wave.uncalibrated_screen")}`;
  }
  const said = { length: lengthWords(seconds), pixel: lengthWords(seconds / Math.max(1, width)), gain };
  return seconds <= RAW_UP_TO_S ? t("review.compressed", said) : t("review.envelope", said);
}

/** The numbers, each with unit, source and age. A number of ours never stands in a device's place or size. */
import type { ComponentChildren } from "preact";
import { language, qualityWords, t } from "../i18n";
import type { Key } from "../i18n/keys";
import { clockTime, decimal } from "../i18n/numbers";
import { DerivedBadge, OriginBadge } from "../parts/badges";
import { Icon } from "../parts/Icon";
import { now } from "../parts/ticking";
import { ageMs, CONTINUOUS_KINDS, freshness, type Reading, valueText } from "../vitals/numerics";
import { sourceWords } from "../vitals/source";
import type { LiveConsultation } from "./consultation";

const UNIT_WORDS: Record<string, Key> = {
  "/min": "unit.per_minute",
  "%": "unit.percent",
  Cel: "unit.celsius",
  "mm[Hg]": "unit.mmhg",
};

/** What the column reads: of a clinician's page, or of what a guest is shown. */
export type NumbersShown = Pick<LiveConsultation, "readings" | "streams" | "clock">;

export function NumericsColumn({ live, stale }: { live: NumbersShown; stale: boolean }) {
  now.value;
  const readings = live.readings.value;
  const serverUs = live.clock.serverUs();
  const sent = new Set(live.streams.value.filter((stream) => stream.live).map((stream) => stream.kind));
  const tile = (kind: string) => ({ reading: readings.get(kind), serverUs, sent: sent.has(kind), lost: stale });
  return (
    <section class={`numerics ${stale ? "is-stale" : ""}`} aria-label={t("numeric.title")}>
      <Tile kind="heart_rate" name={t("numeric.heart_rate")} unit={t("unit.beats")} {...tile("heart_rate")} />
      <Tile kind="spo2" name={t("numeric.spo2")} unit={t("unit.percent")} {...tile("spo2")}>
        <Side kind="pulse_rate" name={t("numeric.pulse_rate")} unit={t("unit.beats")} {...tile("pulse_rate")} />
      </Tile>
      <Tile
        kind="respiration_rate"
        name={t("numeric.respiration_rate")}
        unit={t("unit.breaths")}
        {...tile("respiration_rate")}
      />
      <Tile
        kind="blood_pressure"
        name={t("numeric.blood_pressure")}
        unit={t("unit.mmhg")}
        {...tile("blood_pressure")}
      />
      <Tile kind="temperature" name={t("numeric.temperature")} unit={t("unit.celsius")} {...tile("temperature")} />
    </section>
  );
}

interface TileProps {
  readonly kind: string;
  readonly name: string;
  readonly unit: string;
  readonly reading: Reading | undefined;
  readonly serverUs: number;
  /** A device for this is connected, whether it has measured yet or not. */
  readonly sent: boolean;
  /** Nothing comes any more, whatever the number's own age. */
  readonly lost: boolean;
  readonly children?: ComponentChildren;
}

function Tile(props: TileProps) {
  const { reading, serverUs } = props;
  const derived = reading?.numeric.derived === true;
  const fresh = reading === undefined ? "gone" : freshness(reading, serverUs);
  return (
    <article
      class={`tile is-${props.kind} is-${fresh} ${derived ? "has-derived" : ""}`}
      data-kind={props.kind}
      data-fresh={fresh}
    >
      <header>
        <h2>{props.name}</h2>
        <span class="unit">{props.unit}</span>
      </header>
      <div class="tile-body">
        {derived && reading !== undefined ? (
          <p class="derived-row">
            <DerivedBadge />
            <output class="value is-derived numbers" data-value data-derived="true">
              {shown(reading, serverUs)}
            </output>
          </p>
        ) : (
          <output
            class={`value numbers ${props.kind === "blood_pressure" ? "is-long" : ""}`}
            data-value
            data-derived="false"
          >
            {shown(reading, serverUs)}
          </output>
        )}
        {props.children}
        {props.kind === "blood_pressure" && reading !== undefined && <Mean reading={reading} />}
      </div>
      <footer>
        {reading === undefined ? (
          t(props.sent ? "numeric.not_yet" : "numeric.none")
        ) : (
          <Source reading={reading} serverUs={serverUs} stale={props.lost || fresh !== "fresh"} />
        )}
      </footer>
    </article>
  );
}

function Side(props: TileProps) {
  const fresh = props.reading === undefined ? "gone" : freshness(props.reading, props.serverUs);
  if (props.reading === undefined) return null;
  return (
    <p class={`side is-${fresh}`} data-kind={props.kind} data-fresh={fresh}>
      <span class="side-name">
        {(props.lost || fresh !== "fresh") && <StaleSign />}
        {props.name}
      </span>
      <output class="side-value numbers" data-value>
        {shown(props.reading, props.serverUs)}
      </output>
      <span class="unit">{props.unit}</span>
    </p>
  );
}

function shown(reading: Reading | undefined, serverUs: number): string {
  if (reading === undefined || freshness(reading, serverUs) === "gone") return "--";
  return valueText(reading.numeric, language.value) ?? "--";
}

function Mean({ reading }: { reading: Reading }) {
  const mean = reading.numeric.extra.mean;
  if (mean == null) return null;
  return (
    <p class="side">
      <span class="side-name">{t("numeric.mean")}</span>
      <output class="side-value numbers">{language.value === "bg" ? mean.replace(".", ",") : mean}</output>
    </p>
  );
}

/** Said in words to whoever does not see it; never by grey alone. */
function StaleSign() {
  return (
    <>
      <Icon name="clock" size={15} />
      <span class="visually-hidden">{t("numeric.stale")} </span>
    </>
  );
}

function Source({ reading, serverUs, stale }: { reading: Reading; serverUs: number; stale: boolean }) {
  const { numeric } = reading;
  const unit = UNIT_WORDS[numeric.unit];
  return (
    <>
      <span class="source" title={unit === undefined ? numeric.unit : t(unit)}>
        {sourceWords(numeric)}
      </span>
      {stale && (
        <strong class="stale-mark">
          <Icon name="clock" size={15} />
          {t("numeric.stale")}
        </strong>
      )}
      <span class="age numbers">{ageWords(reading, serverUs, stale)}</span>
      <OriginBadge origin={numeric.origin} />
      {numeric.quality.length > 0 && <span class="quality">{numeric.quality.map(qualityWords).join(", ")}</span>}
    </>
  );
}

function ageWords(reading: Reading, serverUs: number, stale: boolean): string {
  const { numeric } = reading;
  if (!CONTINUOUS_KINDS.has(numeric.kind)) return t("numeric.taken", { time: clockTime(numeric.at_us / 1000) });
  const seconds = ageMs(reading, serverUs) / 1000;
  return seconds < 3 && !stale ? t("numeric.now") : t("numeric.ago", { seconds: decimal(seconds) });
}

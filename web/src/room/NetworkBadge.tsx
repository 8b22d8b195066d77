/** How somebody's line is: a mark and a word, never a colour alone. */
import { t } from "../i18n";
import type { Key } from "../i18n/keys";
import type { Network } from "../protocol/people";
import { adviceOf, type LineFacts } from "./line";

const WORDS: Record<Network, Key> = {
  good: "line.good",
  fair: "line.fair",
  poor: "line.poor",
  unknown: "line.unknown",
};
const BARS: Record<Network, number> = { good: 3, fair: 2, poor: 1, unknown: 0 };

export function NetworkBadge({ network, quiet = false }: { network: Network; quiet?: boolean }) {
  const filled = BARS[network];
  return (
    <span class={`network is-${network}`} data-network={network} title={t(WORDS[network])}>
      <svg class="network-bars" width="18" height="14" viewBox="0 0 18 14" aria-hidden="true" focusable="false">
        {[0, 1, 2].map((bar) => (
          <rect
            key={bar}
            x={bar * 6 + 0.5}
            y={9 - bar * 4}
            width="4"
            height={4.5 + bar * 4}
            rx="1"
            class={bar < filled ? "is-filled" : ""}
          />
        ))}
      </svg>
      <span class={quiet ? "visually-hidden" : ""}>{t(WORDS[network])}</span>
    </span>
  );
}

/** One's own line, with what to do about it when it is not good, and its numbers (`folded`: for whom asks). */
export function OwnLine(props: { network: Network; facts: LineFacts; cameraOn: boolean; folded?: boolean }) {
  const { network, facts } = props;
  const numbers = (
    <p class="muted numbers own-line-numbers">
      {t("line.numbers", {
        loss: Math.round((facts.loss ?? 0) * 100),
        rtt: facts.rttMs ?? 0,
        down: facts.downKbitS,
        up: facts.upKbitS,
      })}
    </p>
  );
  const advice = adviceOf(network, props.cameraOn);
  return (
    <div class="own-line">
      <p>
        <span class="muted">{t("line.own")}</span> <NetworkBadge network={network} />
      </p>
      {network !== "unknown" && props.folded !== true && numbers}
      <p class="own-line-advice" role="status">
        {advice === null ? "" : t(advice)}
      </p>
      {network !== "unknown" && props.folded === true && (
        <details class="own-line-more">
          <summary>{t("line.details")}</summary>
          {numbers}
        </details>
      )}
    </div>
  );
}

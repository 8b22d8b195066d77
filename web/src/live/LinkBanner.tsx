/** Trouble with the data, in words, over the waves. Nothing while all is well. */
import { t } from "../i18n";
import { decimal } from "../i18n/numbers";
import { Icon } from "../parts/Icon";
import type { LiveConsultation } from "./consultation";
import type { LinkState } from "./linkstate";

export function LinkBanner({ live, link }: { live: LiveConsultation; link: LinkState }) {
  const words = bannerWords(live, link);
  return (
    <div class="link-banner-place" role="status" aria-live="polite">
      {words !== null && (
        <p class={`link-banner is-${link}`}>
          <Icon name="warning" size={20} />
          <span>{words}</span>
        </p>
      )}
    </div>
  );
}

function bannerWords(live: LiveConsultation, link: LinkState): string | null {
  const nowMs = performance.now();
  switch (link) {
    case "connecting":
      return t("live.connecting");
    case "waiting":
      return t("live.no_data_yet");
    case "delayed":
      return t("live.delayed", { seconds: decimal(live.lagMs(nowMs) / 1000, 1) });
    case "interrupted":
      return t("live.interrupted", { seconds: decimal((nowMs - (live.lastFrameMs ?? nowMs)) / 1000) });
    case "recovering":
      return t("live.recovering", { seconds: decimal((nowMs - (live.room.lostAtMs.value ?? nowMs)) / 1000) });
    case "offline":
      return t("live.offline");
    default:
      return null;
  }
}

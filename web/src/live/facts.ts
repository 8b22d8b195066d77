/** The facts of the link's state, read from a consultation now. */
import type { LiveConsultation } from "./consultation";
import type { LinkFacts } from "./linkstate";

const OVER = new Set(["ended", "signed", "amended", "cancelled", "no_show"]);

export function linkFacts(live: LiveConsultation): LinkFacts {
  const nowMs = performance.now();
  const state = live.info.value?.state;
  return {
    socket: live.socketState.value,
    openedBefore: live.info.value !== null,
    ended: state !== undefined && OVER.has(state),
    stationOnline: live.station.value.online,
    silentMs: live.lastFrameMs === null ? null : nowMs - live.lastFrameMs,
    lagMs: live.lagMs(nowMs),
  };
}

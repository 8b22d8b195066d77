/** The facts of the link's state, read from a consultation now. */
import type { LiveConsultation } from "./consultation";
import type { LinkFacts } from "./linkstate";

const OVER = new Set(["ended", "signed", "amended", "cancelled", "no_show"]);

/** Nothing more comes from a consultation in this state. */
export const isOver = (state: string | undefined): boolean => state !== undefined && OVER.has(state);

export function linkFacts(live: LiveConsultation): LinkFacts {
  const nowMs = performance.now();
  return {
    socket: live.room.socketState.value,
    openedBefore: live.info.value !== null,
    ended: isOver(live.info.value?.state),
    stationOnline: live.station.value.online,
    silentMs: live.lastFrameMs === null ? null : nowMs - live.lastFrameMs,
    lagMs: live.lagMs(nowMs),
  };
}

/** The words under the marks of a time axis. The waves' labels and the cursor's words say the same to whoever hears it. */
import type { Ref } from "preact";
import type { TimeAxis } from "./ticks";
import { tickWords } from "./words";

/** A mark so near the right end has no room for its words. */
const ROOM_PX = 64;

export function TimeLabels(props: { axis: TimeAxis; width: number; row?: Ref<HTMLDivElement> }) {
  const shown = props.axis.ticks.filter((tick) => (1 - tick.share) * props.width >= ROOM_PX);
  return (
    <div class="time-labels numbers" ref={props.row ?? null} aria-hidden="true">
      {shown.map((tick) => (
        <span key={tick.us} style={{ left: `${tick.share * 100}%` }}>
          {tickWords(props.axis, tick)}
        </span>
      ))}
    </div>
  );
}

/**
 * Drawings of where to press: a phone or a window with its address bar, and the switch that is behind it. Words stand
 * beside the drawing, so the drawing itself is hidden from a screen reader.
 */

export type Spot = "left" | "right";
export type Mark = "tune" | "lock" | "camera" | "page" | "dots";

interface BarPictureProps {
  readonly frame: "phone" | "window";
  readonly bar: "top" | "bottom";
  readonly spot: Spot;
  readonly mark: Mark;
}

/** 1: the mark in the address bar, ringed. */
export function BarPicture({ frame, bar, spot, mark }: BarPictureProps) {
  const phone = frame === "phone";
  const width = phone ? 150 : 260;
  const left = (280 - width) / 2;
  const barY = bar === "top" ? (phone ? 26 : 34) : 138;
  const x = spot === "left" ? left + 30 : left + width - 30;
  return (
    <svg class="guide-picture" viewBox="0 0 280 190" aria-hidden="true" focusable="false">
      <rect class="g-frame" x={left} y={8} width={width} height={174} rx={phone ? 18 : 8} />
      {!phone && <path class="g-line" d={`M${left} 28h${width}`} />}
      {!phone && <path class="g-dots" d={`M${left + 14} 18h.1M${left + 28} 18h.1M${left + 42} 18h.1`} />}
      <rect class="g-bar" x={left + 12} y={barY} width={width - 24} height={28} rx={14} />
      <path class="g-text" d={`M${left + 56} ${barY + 14}h${width - 112}`} />
      <g transform={`translate(${x} ${barY + 14})`}>
        <MarkDrawing mark={mark} />
        <circle class="g-ring" r={19} />
      </g>
      <Hand x={x} y={barY + 34} up={bar === "bottom"} />
      <path
        class="g-page"
        d={bar === "top" ? `M${left + 24} 108h${width - 48}M${left + 24} 128h${width - 90}` : pageTop(left, width)}
      />
    </svg>
  );
}

const pageTop = (left: number, width: number): string =>
  `M${left + 24} 40h${width - 48}M${left + 24} 58h${width - 90}M${left + 24} 76h${width - 60}`;

/** 2: camera and microphone with their switches, the wanted one ringed. */
export function SwitchPicture({ kind }: { kind: "camera" | "microphone" }) {
  return (
    <svg class="guide-picture" viewBox="0 0 280 190" aria-hidden="true" focusable="false">
      <rect class="g-frame" x={40} y={18} width={200} height={154} rx={14} />
      <path class="g-text" d="M60 42h90" />
      {(["camera", "microphone"] as const).map((one, index) => {
        const y = 84 + index * 54;
        const on = one === kind;
        return (
          <g key={one}>
            <g transform={`translate(66 ${y})`}>{one === "camera" ? <Camera /> : <Microphone />}</g>
            <path class="g-text" d={`M92 ${y}h56`} />
            <rect class={on ? "g-switch is-on" : "g-switch"} x={176} y={y - 13} width={44} height={26} rx={13} />
            <circle class="g-knob" cx={on ? 207 : 189} cy={y} r={9} />
            {on && <rect class="g-ring" x={168} y={y - 21} width={60} height={42} rx={21} />}
          </g>
        );
      })}
    </svg>
  );
}

/** 3: load the page again. */
export function ReloadPicture() {
  return (
    <svg class="guide-picture" viewBox="0 0 280 190" aria-hidden="true" focusable="false">
      <circle class="g-ring" cx={140} cy={95} r={62} />
      <path class="g-reload" d="M172 78a36 36 0 1 0 3 30M176 56v24h-24" />
    </svg>
  );
}

function MarkDrawing({ mark }: { mark: Mark }) {
  switch (mark) {
    case "tune":
      return <path class="g-mark" d="M-9-4h6M3-4h6M-9 5h10M7 5h2M0-7.5v7M4 1.5v7" />;
    case "lock":
      return <path class="g-mark" d="M-6-1h12v9H-6zM-3.500-1v-3.500a3.500 3.500 0 0 1 7 0V-1" />;
    case "camera":
      return <path class="g-mark" d="M-10-6H3V6h-13zM3-1l6-4V5L3 1M-11-9 9 9" />;
    case "page":
      return <path class="g-mark" d="M-9-7H9v8H-9zM-9 6H9" />;
    case "dots":
      return <path class="g-mark is-heavy" d="M0-7v.1M0 0v.1M0 7v.1" />;
  }
}

const Camera = () => <path class="g-mark" d="M-11-7H3V7h-14zM3-2l8-5V7L3 2" />;
const Microphone = () => <path class="g-mark" d="M-3-9h6v11h-6zM-7 0a7 7 0 0 0 14 0M0 7v4" />;

function Hand({ x, y, up }: { x: number; y: number; up: boolean }) {
  const turn = up ? `translate(${x} ${y - 40}) rotate(180)` : `translate(${x} ${y})`;
  return <path class="g-hand" transform={turn} d="M0 2v34M0 2l-9 11M0 2l9 11" />;
}

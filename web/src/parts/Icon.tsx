/** Line icons on a 24 × 24 grid, drawn with the text's colour. */

const PATHS = {
  pulse: "M2 13h4l2-6 4 12 3-8 1.5 2H22",
  list: "M4 6h16M4 12h16M4 18h10",
  help: "M9 9a3 3 0 1 1 4.2 2.8c-.8.4-1.2 1-1.2 2M12 17.5v.1M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18",
  microphone: "M12 3a3 3 0 0 0-3 3v5a3 3 0 0 0 6 0V6a3 3 0 0 0-3-3M6 11a6 6 0 0 0 12 0M12 17v4",
  microphoneOff: "M9 9v2a3 3 0 0 0 4.6 2.5M15 11V6a3 3 0 0 0-5.8-1M6 11a6 6 0 0 0 9.5 4.9M18 11v1M12 17v4M4 3l16 18",
  camera: "M3 7h12v10H3zM15 11l6-3.5v9L15 13",
  cameraOff: "M3 7h3M9 7h6v6M15 17H3V7M15 11l6-3.5v9L17 14M4 3l16 18",
  freeze: "M12 2v20M4 7l16 10M20 7 4 17M12 6l-2.5-2M12 6l2.5-2M12 18l-2.5 2M12 18l2.5 2",
  layout: "M3 5h18v14H3zM14 5v14M14 12h7",
  expand: "M9 4H4v5M4 4l6 6M15 20h5v-5M20 20l-6-6",
  end: "M4 15c0-5 16-5 16 0v2h-5v-3a9 9 0 0 0-6 0v3H4z",
  back: "M15 5l-7 7 7 7",
  forward: "M9 5l7 7-7 7",
  in: "M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14M16 16l5 5M8 11h6M11 8v6",
  out: "M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14M16 16l5 5M8 11h6",
  station: "M4 5h16v11H4zM9 20h6M12 16v4M7 11h2l1.5-3 2 5 1.5-2h3",
  sound: "M4 9h4l5-4v14l-5-4H4zM16.5 8.5a5 5 0 0 1 0 7M19 6a8.5 8.5 0 0 1 0 12",
  person: "M12 4a4 4 0 1 0 0 8 4 4 0 0 0 0-8M4.5 21a7.5 7.5 0 0 1 15 0",
  close: "M6 6l12 12M18 6 6 18",
  signOut: "M14 4H5v16h9M10 12h11M17 8l4 4-4 4",
  keyboard: "M3 6h18v12H3zM7 10h.1M11 10h.1M15 10h.1M7 14h10",
  bell: "M6 17V11a6 6 0 0 1 12 0v6l1.5 2h-15zM10 21.5h4",
  plus: "M12 5v14M5 12h14",
  more: "M5 12h.1M12 12h.1M19 12h.1",
  clock: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18M12 7v5l3.5 2",
  calendar: "M4 6h16v14H4zM4 10h16M8 3v5M16 3v5",
  invite: "M3 6h18v13H3zM3.5 7l8.5 7 8.5-7",
  print: "M7 9V3h10v6M7 17H4V9h16v8h-3M7 14h10v7H7z",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  check: "M4 12.5 10 18 20 6",
  phone: "M5 4h4l2 5-2.5 2a12 12 0 0 0 5 5L16 13l5 2v5a1 1 0 0 1-1 1A17 17 0 0 1 4 5a1 1 0 0 1 1-1",
  home: "M4 11 12 4l8 7M6 10v10h12V10",
  pen: "M4 20l1-5L16 4l4 4L9 19zM14 6l4 4",
  clip: "M20 11l-8.5 8.5a5 5 0 0 1-7-7L13 4a3.4 3.4 0 0 1 5 5l-8.5 8.5a1.8 1.8 0 0 1-2.5-2.5L15 7",
  photo: "M4 7h4l2-3h4l2 3h4v13H4zM12 9.5a4 4 0 1 0 0 8 4 4 0 0 0 0-8",
  download: "M12 4v11M7 11l5 5 5-5M4 20h16",
  people:
    "M9 5a3.5 3.5 0 1 0 0 7 3.5 3.5 0 0 0 0-7M2.5 20a6.5 6.5 0 0 1 13 0M16 5.5a3.5 3.5 0 0 1 0 6.5M18 14.5a6.5 6.5 0 0 1 3.5 5.5",
  chat: "M4 5h16v11H10l-5 4v-4H4zM8 9.5h8M8 12.5h5",
  card: "M3 5h18v14H3zM7 9.5h4M7 13h10M7 16h10",
  screen: "M3 5h18v11H3zM9 20h6M12 16v4M12 13V8M9.5 10.5 12 8l2.5 2.5",
  pictures: "M3 6h13v12H3zM19 8v10M21.5 10v6",
  swap: "M4 8h14M14 4l4 4-4 4M20 16H6M10 12l-4 4 4 4",
  letters: "M3 18 8 6l5 12M5 14h6M14 18l3.5-8 3.5 8M15.5 15h4",
  warning: "M12 4 2.5 20h19zM12 10v5M12 17.5v.1",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name, size = 22 }: { name: IconName; size?: number }) {
  return (
    <svg class="icon" width={size} height={size} viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  );
}

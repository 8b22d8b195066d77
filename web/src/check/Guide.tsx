/** Where to press when the browser or the system refused: two or three pictures for this very browser, with words. */
import { t } from "../i18n";
import type { Key } from "../i18n/keys";
import type { DeviceKind } from "../media/devices";
import { BROWSER, type BrowserKind, SYSTEM, type System } from "./browser";
import { BarPicture, type Mark, ReloadPicture, type Spot, SwitchPicture } from "./GuidePicture";

interface Way {
  readonly frame: "phone" | "window";
  readonly bar: "top" | "bottom";
  readonly spot: Spot;
  readonly mark: Mark;
  readonly press: Key;
  readonly choose: Key;
}

const WAYS: Record<BrowserKind, Way> = {
  chrome_android: way("phone", "top", "left", "tune", "guide.chrome_android.press", "guide.chrome_android.choose"),
  chrome_desktop: way("window", "top", "left", "tune", "guide.chrome_desktop.press", "guide.chrome_desktop.choose"),
  edge: way("window", "top", "left", "lock", "guide.edge.press", "guide.edge.choose"),
  firefox_android: way(
    "phone",
    "bottom",
    "left",
    "lock",
    "guide.firefox_android.press",
    "guide.firefox_android.choose",
  ),
  firefox_desktop: way(
    "window",
    "top",
    "left",
    "camera",
    "guide.firefox_desktop.press",
    "guide.firefox_desktop.choose",
  ),
  safari_ios: way("phone", "bottom", "left", "page", "guide.safari_ios.press", "guide.safari_ios.choose"),
  safari_mac: way("window", "top", "left", "page", "guide.safari_mac.press", "guide.safari_mac.choose"),
  samsung: way("phone", "bottom", "left", "lock", "guide.samsung.press", "guide.samsung.choose"),
  other: way("window", "top", "left", "lock", "guide.other.press", "guide.other.choose"),
};

function way(frame: Way["frame"], bar: Way["bar"], spot: Spot, mark: Mark, press: Key, choose: Key): Way {
  return { frame, bar, spot, mark, press, choose };
}

const SYSTEM_WAYS: Record<System, Key> = {
  android: "guide.system.android",
  ios: "guide.system.ios",
  windows: "guide.system.windows",
  mac: "guide.system.mac",
  other: "guide.system.other",
};

const DEVICE_WORDS: Record<DeviceKind, Key> = { camera: "guide.camera", microphone: "guide.microphone" };

/** The browser refused: this is how to allow it. */
export function BrowserGuide({ kind, browser = BROWSER }: { kind: DeviceKind; browser?: BrowserKind }) {
  const { press, choose, ...bar } = WAYS[browser];
  const device = t(DEVICE_WORDS[kind]);
  return (
    <ol class="guide" data-browser={browser}>
      <li>
        <BarPicture {...bar} />
        <p>{t(press)}</p>
      </li>
      <li>
        <SwitchPicture kind={kind} />
        <p>{t(choose, { device })}</p>
      </li>
      <li>
        <ReloadPicture />
        <p>{t("guide.reload")}</p>
      </li>
    </ol>
  );
}

/** The system refused: the browser itself may not use the device. */
export function SystemGuide({ kind, system = SYSTEM }: { kind: DeviceKind; system?: System }) {
  return (
    <ol class="guide" data-system={system}>
      <li>
        <SwitchPicture kind={kind} />
        <p>{t(SYSTEM_WAYS[system], { device: t(DEVICE_WORDS[kind]) })}</p>
      </li>
      <li>
        <ReloadPicture />
        <p>{t("guide.reload")}</p>
      </li>
    </ol>
  );
}

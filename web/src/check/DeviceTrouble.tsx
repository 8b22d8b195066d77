/** Why a device is not there and what to do: a sentence, the pictures where pictures help, and "try again". */
import { t } from "../i18n";
import type { Key } from "../i18n/keys";
import type { DeviceKind } from "../media/devices";
import type { OwnDevice } from "./device";
import { BrowserGuide, SystemGuide } from "./Guide";
import { mayAsk, type Permission } from "./permission";

type Trouble = Exclude<Permission, "not_asked" | "asking" | "allowed">;

const WORDS: Record<DeviceKind, Record<Trouble, Key>> = {
  camera: {
    denied: "check.camera_denied",
    blocked: "check.camera_blocked",
    in_use: "check.camera_in_use",
    none: "check.camera_none",
    unavailable: "check.camera_unavailable",
  },
  microphone: {
    denied: "check.microphone_denied",
    blocked: "check.microphone_blocked",
    in_use: "check.microphone_in_use",
    none: "check.microphone_none",
    unavailable: "check.microphone_unavailable",
  },
};

export function isTrouble(permission: Permission): permission is Trouble {
  return permission !== "not_asked" && permission !== "asking" && permission !== "allowed";
}

export function DeviceTrouble({ device }: { device: OwnDevice }) {
  const permission = device.permission.value;
  if (!isTrouble(permission)) return null;
  return (
    <div class="trouble" role="alert" data-permission={permission}>
      <p>
        <strong>{t(WORDS[device.kind][permission])}</strong>
      </p>
      {permission === "denied" && <BrowserGuide kind={device.kind} />}
      {permission === "blocked" && <SystemGuide kind={device.kind} />}
      {mayAsk(permission) && (
        <button type="button" class="big" onClick={() => void device.ask()}>
          {t("check.again")}
        </button>
      )}
    </div>
  );
}

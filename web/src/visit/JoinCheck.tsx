/** The device and call check on the way to the visit. */
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { CheckFlow } from "../check/CheckFlow";
import { t } from "../i18n";
import type { Visit } from "./visit";

export function JoinCheck({ visit }: { visit: Visit }) {
  const step = useSignal("camera");
  const host = useRef<HTMLDivElement>(null);
  useEffect(() => {
    visit.camera.release();
    visit.microphone.release();
  }, []);
  useEffect(() => {
    host.current?.querySelector<HTMLElement>("h1[tabindex]")?.focus();
  }, [step.value]);
  const back = () => {
    visit.checking.value = false;
  };
  const words = t(visit.seat.value === null ? "check.go_on" : "check.back_to_waiting");
  return (
    <div ref={host}>
      <CheckFlow
        onStep={(name) => {
          step.value = name;
        }}
        onDone={(outcomes) => {
          visit.checked.value = outcomes;
        }}
        phone={visit.phone.value}
        done={
          <button type="button" class="big primary" onClick={back}>
            {words}
          </button>
        }
      />
      {step.value !== "result" && (
        <div class="column is-foot">
          <button type="button" class="plain" onClick={back}>
            {t("check.stop")}
          </button>
        </div>
      )}
    </div>
  );
}

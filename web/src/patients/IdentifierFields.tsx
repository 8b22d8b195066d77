/** One number of a register. Says whether it is written as such numbers are: well-formed, never verified. */
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { type Identifier, staff } from "../api/staff";
import { t } from "../i18n";
import { Choose, Field } from "../parts/Field";
import { Icon } from "../parts/Icon";
import { SYSTEMS, systemWords } from "./systems";

const PAUSE_MS = 300;

export function IdentifierFields(props: { identifier: Identifier; onChange: (one: Identifier | null) => void }) {
  const { system, value } = props.identifier;
  const formed = useSignal<boolean | null>(null);
  const typed = value.trim();
  useEffect(() => {
    formed.value = null;
    if (typed === "" || system === "other") return;
    let newest = true;
    const timer = setTimeout(async () => {
      // Without an answer there is nothing to say about the number; the server looks again when it is saved.
      const answer = await staff.checkIdentifier(system, typed).catch(() => null);
      if (newest) formed.value = answer?.well_formed ?? null;
    }, PAUSE_MS);
    return () => {
      newest = false;
      clearTimeout(timer);
    };
  }, [system, typed]);
  return (
    <div class="identifier">
      <Choose
        label={t("identifier.system")}
        value={system}
        onChange={(chosen) => props.onChange({ system: chosen, value })}
      >
        {SYSTEMS.map((one) => (
          <option key={one} value={one}>
            {systemWords(one)}
          </option>
        ))}
      </Choose>
      <Field
        label={t("identifier.number")}
        value={value}
        maxLength={60}
        onInput={(changed) => props.onChange({ system, value: changed })}
      />
      <button type="button" class="quiet-button" title={t("identifier.remove")} onClick={() => props.onChange(null)}>
        <Icon name="close" size={20} />
        <span class="visually-hidden">{t("identifier.remove")}</span>
      </button>
      <p
        class={`identifier-word ${formed.value === true ? "is-formed" : formed.value === false ? "is-malformed" : ""}`}
        role="status"
      >
        {formed.value === true && <Icon name="check" size={18} />}
        {formed.value === false && <Icon name="warning" size={18} />}
        {formed.value === null ? "" : formed.value ? t("identifier.well_formed") : t("identifier.not_well_formed")}
      </p>
    </div>
  );
}

/** A day and a time of the organisation's clocks, typed or picked, and how long. */
import { type Signal, useSignal } from "@preact/signals";
import { useId, useRef } from "preact/hooks";
import { language, t } from "../i18n";
import { zone } from "../i18n/numbers";
import { dayField, daysLater, dayTyped, instantOf, timeTyped, zonedTime } from "../i18n/zoned";
import { Choose } from "../parts/Field";
import { Icon } from "../parts/Icon";

const LENGTHS_MIN = [10, 15, 20, 30, 45, 60, 90] as const;
const STEP_MS = 15 * 60_000;

export interface When {
  readonly date: Signal<string>;
  readonly time: Signal<string>;
  readonly minutes: Signal<number>;
}

/** The fields of an appointment; the next quarter of an hour when none is given. */
export function useWhen(at?: string | null, minutes = 30): When {
  const start = at == null ? Math.ceil((Date.now() + STEP_MS) / STEP_MS) * STEP_MS : Date.parse(at);
  const shown = zonedTime(start, zone.value);
  return {
    date: useSignal(dayField(shown.date)),
    time: useSignal(shown.time),
    minutes: useSignal(minutes),
  };
}

/** The instant that the fields name, ms since 1970 UTC; null while they name none. */
export function chosenInstant(when: When): number | null {
  const date = dayTyped(when.date.value, zonedTime(Date.now(), zone.value).date);
  const time = timeTyped(when.time.value);
  return date === null || time === null ? null : instantOf({ date, time }, zone.value);
}

export function WhenFields({ when }: { when: When }) {
  const id = useId();
  const picker = useRef<HTMLInputElement>(null);
  const today = zonedTime(Date.now(), zone.value).date;
  const date = dayTyped(when.date.value, today);
  const at = chosenInstant(when);
  const past = at !== null && at < Date.now() - 3_600_000;
  const choose = (day: string) => {
    when.date.value = dayField(day);
  };
  const fault = at === null ? t("when.unclear") : past ? t("when.past") : null;
  return (
    <div class="when">
      <div class="when-fields">
        <div class="field">
          <label for={`${id}-date`}>{t("when.date")}</label>
          <div class="field-with-button">
            <input
              id={`${id}-date`}
              value={when.date.value}
              inputMode="numeric"
              autocomplete="off"
              placeholder={t("when.date_form")}
              aria-invalid={date === null}
              aria-describedby={`${id}-said`}
              maxLength={20}
              onInput={(event) => {
                when.date.value = event.currentTarget.value;
              }}
            />
            <button type="button" class="button" title={t("when.pick")} onClick={() => picker.current?.showPicker()}>
              <Icon name="calendar" size={20} />
              <span class="visually-hidden">{t("when.pick")}</span>
            </button>
            <input
              ref={picker}
              class="when-picker"
              type="date"
              tabIndex={-1}
              aria-hidden="true"
              value={date ?? today}
              min={today}
              onChange={(event) => {
                if (event.currentTarget.value !== "") choose(event.currentTarget.value);
              }}
            />
          </div>
        </div>
        <div class="field">
          <label for={`${id}-time`}>{t("when.time")}</label>
          <input
            id={`${id}-time`}
            value={when.time.value}
            inputMode="numeric"
            autocomplete="off"
            placeholder={t("when.time_form")}
            aria-invalid={timeTyped(when.time.value) === null}
            aria-describedby={`${id}-said`}
            maxLength={10}
            onInput={(event) => {
              when.time.value = event.currentTarget.value;
            }}
          />
        </div>
        <Choose
          label={t("when.length")}
          value={String(when.minutes.value)}
          onChange={(value) => {
            when.minutes.value = Number(value);
          }}
        >
          {lengths(when.minutes.value).map((minutes) => (
            <option key={minutes} value={minutes}>
              {t("when.minutes", { minutes })}
            </option>
          ))}
        </Choose>
      </div>
      <div class="when-days">
        {[0, 1, 7].map((days) => (
          <button key={days} type="button" class="button" onClick={() => choose(daysLater(today, days))}>
            {days === 0 ? t("when.today") : days === 1 ? t("when.tomorrow") : t("when.in_a_week")}
          </button>
        ))}
      </div>
      <p class={fault === null ? "when-said" : "field-fault"} id={`${id}-said`} role="status">
        {fault ?? t("when.said", { when: fullWords(at ?? 0), zone: zone.value })}
      </p>
    </div>
  );
}

function lengths(chosen: number): number[] {
  return [...new Set([...LENGTHS_MIN, chosen])].sort((a, b) => a - b);
}

/** вторник, 24 ноември 2026 г., 09:30 */
export function fullWords(at: number): string {
  return new Intl.DateTimeFormat(language.value === "bg" ? "bg" : "en-GB", {
    timeZone: zone.value,
    weekday: "long",
    day: "numeric",
    month: "long",
    year: "numeric",
    hour: "2-digit",
    minute: "2-digit",
    hourCycle: "h23",
  }).format(at);
}

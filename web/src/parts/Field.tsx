/** A labelled place to type or choose, with what is wrong with it said beside it. */
import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";
import type { ApiError } from "../api/client";
import { errorSentence } from "../i18n";

export interface FieldProps {
  readonly label: string;
  readonly value: string;
  readonly onInput: (value: string) => void;
  readonly fault?: string | null;
  readonly hint?: string;
  readonly type?: "text" | "email" | "tel" | "search";
  readonly required?: boolean;
  readonly maxLength?: number;
  readonly mode?: "numeric" | "text" | "tel" | "email";
  readonly autocomplete?: string;
}

export function Field(props: FieldProps) {
  const id = useId();
  const fault = props.fault ?? null;
  const described = fault !== null ? `${id}-fault` : props.hint !== undefined ? `${id}-hint` : undefined;
  const common = {
    id,
    value: props.value,
    required: props.required === true,
    maxLength: props.maxLength ?? 200,
    inputMode: props.mode ?? "text",
    autocomplete: props.autocomplete ?? "off",
    "aria-invalid": fault !== null,
    "aria-describedby": described,
    onInput: (event: InputEvent) => {
      if (event.currentTarget instanceof HTMLInputElement) props.onInput(event.currentTarget.value);
    },
  } as const;
  return (
    <div class="field">
      <label for={id}>{props.label}</label>
      {typed(props.type, common)}
      {fault === null && props.hint !== undefined && (
        <p class="field-hint" id={`${id}-hint`}>
          {props.hint}
        </p>
      )}
      {fault !== null && (
        <p class="field-fault" id={`${id}-fault`} role="alert">
          {fault}
        </p>
      )}
    </div>
  );
}

function typed(type: FieldProps["type"], common: object) {
  switch (type) {
    case "email":
      return <input type="email" {...common} />;
    case "tel":
      return <input type="tel" {...common} />;
    case "search":
      return <input type="search" {...common} />;
    default:
      return <input type="text" {...common} />;
  }
}

export function Choose(props: {
  label: string;
  value: string;
  onChange: (value: string) => void;
  children: ComponentChildren;
}) {
  const id = useId();
  return (
    <div class="field">
      <label for={id}>{props.label}</label>
      <select id={id} value={props.value} onChange={(event) => props.onChange(event.currentTarget.value)}>
        {props.children}
      </select>
    </div>
  );
}

/** One of a few, as radio buttons that look like buttons. */
export function OneOf<T extends string>(props: {
  legend: string;
  value: T;
  options: readonly (readonly [T, string])[];
  onChange: (value: T) => void;
}) {
  const name = useId();
  return (
    <fieldset class="one-of">
      <legend>{props.legend}</legend>
      <div>
        {props.options.map(([value, words]) => (
          <label key={value} class={props.value === value ? "is-chosen" : ""}>
            <input
              type="radio"
              name={name}
              value={value}
              checked={props.value === value}
              onChange={() => props.onChange(value)}
            />
            <span class="one-of-words">{words}</span>
          </label>
        ))}
      </div>
    </fieldset>
  );
}

/** A refusal of the server, beside what was refused. */
export function Refusal({ error }: { error: ApiError | null }) {
  if (error === null) return null;
  return (
    <p class="field-fault" role="alert">
      {errorSentence(error.code, error.params)}
    </p>
  );
}

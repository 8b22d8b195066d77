/** Patients by what is typed: asked when the typing pauses, the newest question's answer alone counts. */
import { type Signal, useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { ApiError } from "../api/client";
import { type PatientRecord, staff } from "../api/staff";
import { noticeSignedOut } from "../parts/account";

const PAUSE_MS = 250;
/** Fewer letters find half of the register. */
export const LEAST_LETTERS = 2;

export interface Search {
  readonly words: Signal<string>;
  /** null: nothing was asked. */
  readonly found: Signal<readonly PatientRecord[] | null>;
  readonly searching: Signal<boolean>;
  readonly fault: Signal<ApiError | null>;
}

export function usePatientSearch(): Search {
  const words = useSignal("");
  const found = useSignal<readonly PatientRecord[] | null>(null);
  const searching = useSignal(false);
  const fault = useSignal<ApiError | null>(null);
  const text = words.value.trim();
  useEffect(() => {
    if (text.length < LEAST_LETTERS) {
      found.value = null;
      searching.value = false;
      return;
    }
    let newest = true;
    searching.value = true;
    const timer = setTimeout(async () => {
      try {
        const answer = await staff.patients(text);
        if (newest) {
          found.value = answer.filter((one) => !one.key_destroyed);
          fault.value = null;
        }
      } catch (error) {
        if (newest && !noticeSignedOut(error) && error instanceof ApiError) fault.value = error;
      }
      if (newest) searching.value = false;
    }, PAUSE_MS);
    return () => {
      newest = false;
      clearTimeout(timer);
    };
  }, [text]);
  return { words, found, searching, fault };
}

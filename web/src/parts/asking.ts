/** One question to the server at a time: busy while it is asked, the refusal when it was refused. */
import { type Signal, useSignal } from "@preact/signals";
import { ApiError } from "../api/client";
import { noticeSignedOut } from "./account";

export interface Asking {
  readonly busy: Signal<boolean>;
  readonly fault: Signal<ApiError | null>;
  /** Resolves to the answer, or to undefined when it was refused (and `fault` says why). */
  readonly ask: <T>(question: () => Promise<T>) => Promise<T | undefined>;
}

export function useAsking(): Asking {
  const busy = useSignal(false);
  const fault = useSignal<ApiError | null>(null);
  const ask = async <T>(question: () => Promise<T>): Promise<T | undefined> => {
    if (busy.value) return undefined;
    busy.value = true;
    fault.value = null;
    try {
      return await question();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (!noticeSignedOut(error)) fault.value = error;
      return undefined;
    } finally {
      busy.value = false;
    }
  };
  return { busy, fault, ask };
}

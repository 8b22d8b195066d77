/** Give the consultation to a colleague, or ask one to take part in it. */
import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect } from "preact/hooks";
import { ApiError } from "../api/client";
import { room as api } from "../api/room";
import { type Colleague, staff } from "../api/staff";
import type { ConsultationInfo } from "../api/types";
import { errorSentence, t } from "../i18n";
import { Dialog } from "../parts/Dialog";
import { ErrorNote } from "../parts/Shell";

interface ColleagueDialogProps {
  readonly info: ConsultationInfo;
  readonly onClose: () => void;
  readonly onDone: (info: ConsultationInfo | null) => void;
}

/** `byDesk`: the operator gives it to somebody, and stays at the desk. */
export function HandOverDialog({ info, byDesk = false, onClose, onDone }: ColleagueDialogProps & { byDesk?: boolean }) {
  return (
    <ColleagueChoice
      title={t("handover.title")}
      text={byDesk ? t("handover.by_desk") : t("handover.text")}
      confirm={t("handover.yes")}
      without={[info.clinician?.id]}
      onClose={onClose}
      onChosen={async (colleague) => onDone(await api.handOver(info.id, colleague.id))}
    />
  );
}

export function SecondClinicianDialog({ info, onClose, onDone }: ColleagueDialogProps) {
  const seconds = info.second_clinicians;
  const fault = useSignal<ApiError | null>(null);
  const remove = async (account: string) => {
    try {
      await api.removeColleague(info.id, account);
      onDone(null);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      fault.value = error;
    }
  };
  return (
    <ColleagueChoice
      title={t("colleague.title")}
      text={t("colleague.text")}
      confirm={t("colleague.yes")}
      without={[info.clinician?.id, ...seconds.map((one) => one.id)]}
      onClose={onClose}
      onChosen={async (colleague) => {
        await api.addColleague(info.id, colleague.id);
        onDone(null);
      }}
    >
      {fault.value !== null && <ErrorNote sentence={errorSentence(fault.value.code, fault.value.params)} />}
      {seconds.length > 0 && (
        <ul class="colleagues-now">
          {seconds.map((one) => (
            <li key={one.id}>
              <span>{one.name}</span>
              <button type="button" class="button" onClick={() => void remove(one.id)}>
                {t("colleague.remove")}
                <span class="visually-hidden"> {one.name}</span>
              </button>
            </li>
          ))}
        </ul>
      )}
    </ColleagueChoice>
  );
}

interface ChoiceProps {
  readonly title: string;
  readonly text: string;
  readonly confirm: string;
  readonly without: readonly (string | undefined)[];
  readonly onClose: () => void;
  readonly onChosen: (colleague: Colleague) => Promise<void>;
  readonly children?: ComponentChildren;
}

function ColleagueChoice(props: ChoiceProps) {
  const colleagues = useSignal<readonly Colleague[] | null>(null);
  const chosen = useSignal<string | null>(null);
  const busy = useSignal(false);
  const fault = useSignal<ApiError | null>(null);
  const attempt = async (act: () => Promise<void>) => {
    fault.value = null;
    try {
      await act();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      fault.value = error;
    }
  };
  useEffect(() => {
    void attempt(async () => {
      colleagues.value = await staff.colleagues();
    });
  }, []);
  const offered = colleagues.value?.filter((one) => !props.without.includes(one.id)) ?? null;
  const picked = offered?.find((one) => one.id === chosen.value);
  return (
    <Dialog title={props.title} onClose={props.onClose}>
      <p>{props.text}</p>
      {props.children}
      {fault.value !== null && <ErrorNote sentence={errorSentence(fault.value.code, fault.value.params)} />}
      {offered === null && fault.value === null && <p class="muted">{t("shell.connecting")}</p>}
      {offered?.length === 0 && <p class="muted">{t("colleague.none")}</p>}
      {offered !== null && offered.length > 0 && (
        <fieldset class="colleagues">
          <legend class="visually-hidden">{props.title}</legend>
          {offered.map((one) => (
            <label key={one.id}>
              <input
                type="radio"
                name="colleague"
                value={one.id}
                checked={one.id === chosen.value}
                onChange={() => {
                  chosen.value = one.id;
                }}
              />
              <span>{one.name}</span>
            </label>
          ))}
        </fieldset>
      )}
      <div class="dialog-actions">
        <button type="button" class="button" onClick={props.onClose}>
          {t("live.close")}
        </button>
        <button
          type="button"
          class="button primary"
          disabled={picked === undefined || busy.value}
          onClick={async () => {
            if (picked === undefined) return;
            busy.value = true;
            await attempt(() => props.onChosen(picked));
            busy.value = false;
          }}
        >
          {props.confirm}
        </button>
      </div>
    </Dialog>
  );
}

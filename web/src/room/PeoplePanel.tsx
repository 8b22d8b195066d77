/** Who is in the room, who stands at the door, who is not here; and what may be done about each. */
import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { ApiError } from "../api/client";
import { room as api } from "../api/room";
import { errorSentence, t } from "../i18n";
import { Dialog } from "../parts/Dialog";
import { Icon } from "../parts/Icon";
import { ErrorNote } from "../parts/Shell";
import type { Person } from "../protocol/people";
import type { RoomConnection } from "./connection";
import { NetworkBadge } from "./NetworkBadge";
import { nameOf, roleWords } from "./words";

interface PeoplePanelProps {
  readonly room: RoomConnection;
  /** This person may let in, refuse, remove and mute. */
  readonly decides: boolean;
  /** A heading above says already that these are the people here. */
  readonly titled?: boolean;
  /** What else can be done: invite, hand over. */
  readonly children?: ComponentChildren;
}

type Decision = "admit" | "refuse" | "remove";

export function PeoplePanel({ room, decides, titled = false, children }: PeoplePanelProps) {
  const people = room.people.value;
  const me = room.me.value;
  const fault = useSignal<ApiError | null>(null);
  const asking = useSignal<Person | null>(null);
  const busy = useSignal<string | null>(null);
  const waiting = people.filter((person) => person.seat === "waiting");
  const inside = people.filter((person) => person.seat !== "waiting" && person.here);
  const away = people.filter((person) => person.seat !== "waiting" && !person.here);
  // Nobody's line is known while one's own is gone.
  const stale = room.socketState.value !== "open";
  const decide = async (person: Person, decision: Decision) => {
    busy.value = person.id;
    fault.value = null;
    try {
      await api.decideSeat(room.id, person.id, decision);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      fault.value = error;
    } finally {
      busy.value = null;
    }
  };
  return (
    <section class="people" aria-label={t("people.title")}>
      {fault.value !== null && <ErrorNote sentence={errorSentence(fault.value.code, fault.value.params)} />}
      {waiting.length > 0 && (
        <div class="people-door">
          <h3>{t("people.door", { count: waiting.length })}</h3>
          <ul>
            {waiting.map((person) => (
              <li key={person.id} class="person is-waiting" data-person={person.id} data-seat="waiting">
                <Face person={person} me={false} />
                {decides && (
                  <p class="person-actions">
                    <button
                      type="button"
                      class="button primary"
                      data-decide="admit"
                      disabled={busy.value === person.id}
                      onClick={() => void decide(person, "admit")}
                    >
                      {t("people.admit")}
                      <span class="visually-hidden"> {nameOf(person)}</span>
                    </button>
                    <button
                      type="button"
                      class="button"
                      data-decide="refuse"
                      disabled={busy.value === person.id}
                      onClick={() => void decide(person, "refuse")}
                    >
                      {t("people.refuse")}
                      <span class="visually-hidden"> {nameOf(person)}</span>
                    </button>
                  </p>
                )}
              </li>
            ))}
          </ul>
        </div>
      )}
      {!titled && <h3>{t("people.here", { count: inside.length })}</h3>}
      <ul>
        {inside.map((person) => (
          <li key={person.id} class="person" data-person={person.id} data-role={person.role} data-here="true">
            <Face person={person} me={person.id === me} />
            <Marks person={person} stale={stale} />
            {decides && person.id !== me && (
              <p class="person-actions">
                {person.microphone && person.kind !== "station" && (
                  <button type="button" class="button" data-decide="mute" onClick={() => room.mute(person.id)}>
                    {t("people.mute")}
                    <span class="visually-hidden"> {nameOf(person)}</span>
                  </button>
                )}
                {person.kind === "guest" && <RemoveButton person={person} onAsk={() => (asking.value = person)} />}
              </p>
            )}
          </li>
        ))}
      </ul>
      {away.length > 0 && (
        <>
          <h3>{t("people.away", { count: away.length })}</h3>
          <ul>
            {away.map((person) => (
              <li key={person.id} class="person is-away" data-person={person.id} data-role={person.role}>
                <Face person={person} me={person.id === me} />
                {decides && person.kind === "guest" && (
                  <p class="person-actions">
                    <RemoveButton person={person} onAsk={() => (asking.value = person)} />
                  </p>
                )}
              </li>
            ))}
          </ul>
        </>
      )}
      {children}
      {asking.value !== null && (
        <RemoveDialog
          person={asking.value}
          onClose={() => (asking.value = null)}
          onRemove={(person) => {
            asking.value = null;
            void decide(person, "remove");
          }}
        />
      )}
    </section>
  );
}

function Face({ person, me }: { person: Person; me: boolean }) {
  return (
    <p class="person-who">
      <strong>{nameOf(person)}</strong>
      {me && <span class="badge is-me">{t("people.me")}</span>}
      <span class="muted person-role">
        {person.name === null ? "" : roleWords(person.role)}
        {person.device > 1 && ` ${t("people.device", { device: person.device })}`}
      </span>
    </p>
  );
}

/** Microphone, camera and line; each mark has words. */
function Marks({ person, stale }: { person: Person; stale: boolean }) {
  return (
    <p class="person-marks">
      <span class={person.microphone ? "" : "is-off"}>
        <Icon name={person.microphone ? "microphone" : "microphoneOff"} size={18} />
        <span class="visually-hidden">{person.microphone ? t("people.heard") : t("people.not_heard")}</span>
      </span>
      <span class={person.camera ? "" : "is-off"}>
        <Icon name={person.camera ? "camera" : "cameraOff"} size={18} />
        <span class="visually-hidden">{person.camera ? t("people.seen") : t("people.not_seen")}</span>
      </span>
      {person.screen && (
        <span>
          <Icon name="screen" size={18} />
          <span class="visually-hidden">{t("people.shares_screen")}</span>
        </span>
      )}
      {person.kind !== "station" && <NetworkBadge network={stale ? "unknown" : person.network} quiet />}
    </p>
  );
}

function RemoveButton({ person, onAsk }: { person: Person; onAsk: () => void }) {
  return (
    <button type="button" class="button" data-decide="remove" onClick={onAsk}>
      {t("people.remove")}
      <span class="visually-hidden"> {nameOf(person)}</span>
    </button>
  );
}

function RemoveDialog(props: { person: Person; onClose: () => void; onRemove: (person: Person) => void }) {
  return (
    <Dialog title={t("people.remove_title", { who: nameOf(props.person) })} onClose={props.onClose}>
      <p>{t("people.remove_text")}</p>
      <div class="dialog-actions">
        <button type="button" class="button" onClick={props.onClose}>
          {t("people.remove_no")}
        </button>
        <button type="button" class="button danger" onClick={() => props.onRemove(props.person)}>
          {t("people.remove_yes")}
        </button>
      </div>
    </Dialog>
  );
}

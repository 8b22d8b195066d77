/** The links that were given out for a visit, who joined by each, and taking one back. */
import { useSignal } from "@preact/signals";
import { staff, type TicketInfo } from "../api/staff";
import { t } from "../i18n";
import type { Key } from "../i18n/keys";
import { useAsking } from "../parts/asking";
import { Refusal } from "../parts/Field";
import { now } from "../parts/ticking";
import { whenWords } from "../parts/when";
import type { SeatState } from "../protocol/people";
import { roleWords } from "../room/words";

const SEAT_WORDS: Record<SeatState, Key> = {
  waiting: "seat.waiting",
  admitted: "seat.admitted",
  refused: "seat.refused",
  removed: "seat.removed",
  left: "seat.left",
};

export function TicketList(props: { consultation: string; tickets: readonly TicketInfo[]; onRevoked: () => void }) {
  if (props.tickets.length === 0) return <p class="muted">{t("invite.no_tickets")}</p>;
  return (
    <ul class="tickets">
      {props.tickets.map((ticket) => (
        <Ticket key={ticket.id} consultation={props.consultation} ticket={ticket} onRevoked={props.onRevoked} />
      ))}
    </ul>
  );
}

function Ticket(props: { consultation: string; ticket: TicketInfo; onRevoked: () => void }) {
  const { ticket } = props;
  const sure = useSignal(false);
  const asking = useAsking();
  const revoke = async () => {
    const done = await asking.ask(async () => {
      await staff.revoke(props.consultation, ticket.id);
      return true;
    });
    sure.value = false;
    if (done) props.onRevoked();
  };
  const dead = ticket.revoked_at !== null || Date.parse(ticket.expires_at) < now.value;
  return (
    <li class={`ticket ${dead ? "is-dead" : ""}`} data-ticket={ticket.id}>
      <div>
        <p>
          <strong>{roleWords(ticket.role)}</strong>
          {ticket.name !== null && `, ${ticket.name}`} <span class="muted">{ticket.language.toUpperCase()}</span>
        </p>
        <p class="muted numbers">
          {ticket.revoked_at !== null
            ? t("invite.revoked_at", { time: whenWords(ticket.revoked_at) })
            : t("invite.good_until", { time: whenWords(ticket.expires_at) })}
        </p>
        {ticket.seats.length === 0 && !dead && <p class="muted">{t("invite.nobody_joined")}</p>}
        {ticket.seats.map((seat) => (
          <p key={seat.id} class="ticket-seat numbers">
            {t("invite.seat", {
              device: seat.device,
              name: seat.name ?? roleWords(ticket.role),
              time: whenWords(seat.joined_at),
              state: t(SEAT_WORDS[seat.state]),
            })}
          </p>
        ))}
        <Refusal error={asking.fault.value} />
      </div>
      {!dead && !sure.value && (
        <button
          type="button"
          class="button"
          onClick={() => {
            sure.value = true;
          }}
        >
          {t("invite.revoke")}
        </button>
      )}
      {!dead && sure.value && (
        <div class="ticket-sure">
          <p>{t("invite.revoke_sure")}</p>
          <button
            type="button"
            class="button"
            onClick={() => {
              sure.value = false;
            }}
          >
            {t("dialog.back")}
          </button>
          <button type="button" class="button danger" disabled={asking.busy.value} onClick={() => void revoke()}>
            {t("invite.revoke")}
          </button>
        </div>
      )}
    </li>
  );
}

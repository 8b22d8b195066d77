/** Invite somebody to a visit by a link of their own: for whom, then the words to send, print or read out. */
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { INVITED_ROLES, type Invitation, staff, type TicketInfo } from "../api/staff";
import type { ConsultationInfo } from "../api/types";
import { language, t } from "../i18n";
import { useAsking } from "../parts/asking";
import { Dialog } from "../parts/Dialog";
import { Choose, Field, OneOf, Refusal } from "../parts/Field";
import { patientName } from "../parts/patient";
import type { GuestRole } from "../protocol/people";
import { roleWords } from "../room/words";
import { InvitationWords } from "./InvitationWords";
import { TicketList } from "./TicketList";

export function InviteDialog(props: { consultation: ConsultationInfo; onClose: () => void }) {
  const { consultation } = props;
  const made = useSignal<Invitation | null>(null);
  const tickets = useSignal<readonly TicketInfo[] | null>(null);
  const listing = useAsking();
  const list = () =>
    listing.ask(async () => {
      tickets.value = await staff.tickets(consultation.id);
    });
  useEffect(() => void list(), [consultation.id]);
  return (
    <Dialog title={t("invite.title", { patient: patientName(consultation.patient) })} onClose={props.onClose}>
      <div class="wide-dialog invite">
        {made.value === null ? (
          <InviteForm
            consultation={consultation}
            onMade={(invitation) => {
              made.value = invitation;
              void list();
            }}
          />
        ) : (
          <InvitationWords
            consultation={consultation}
            invitation={made.value}
            onAnother={() => {
              made.value = null;
            }}
          />
        )}
        <section class="invite-tickets" aria-labelledby="tickets-title">
          <h3 id="tickets-title">{t("invite.tickets")}</h3>
          <Refusal error={listing.fault.value} />
          {tickets.value === null && listing.fault.value === null && (
            <div class="skeleton is-small" role="status">
              <span class="visually-hidden">{t("shell.connecting")}</span>
              <div />
            </div>
          )}
          {tickets.value !== null && (
            <TicketList consultation={consultation.id} tickets={tickets.value} onRevoked={() => void list()} />
          )}
        </section>
        <div class="dialog-actions">
          <button type="button" class="button" onClick={props.onClose}>
            {t("live.close")}
          </button>
        </div>
      </div>
    </Dialog>
  );
}

function InviteForm(props: { consultation: ConsultationInfo; onMade: (invitation: Invitation) => void }) {
  const role = useSignal<GuestRole>("patient");
  const name = useSignal("");
  const email = useSignal("");
  const speaks = useSignal<"bg" | "en">(language.value);
  const asking = useAsking();
  const make = async () => {
    const typed = (text: string) => (text.trim() === "" ? null : text.trim());
    const made = await asking.ask(() =>
      staff.invite(props.consultation.id, {
        role: role.value,
        name: typed(name.value),
        language: speaks.value,
        email: typed(email.value),
      }),
    );
    if (made !== undefined) props.onMade(made);
  };
  return (
    <form
      class="form"
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        void make();
      }}
    >
      <OneOf
        legend={t("invite.whom")}
        value={role.value}
        options={INVITED_ROLES.map((one) => [one, roleWords(one)] as const)}
        onChange={(value) => {
          role.value = value;
        }}
      />
      <div class="two-columns">
        <Field
          label={t("invite.name")}
          hint={t("invite.name_hint")}
          value={name.value}
          maxLength={120}
          onInput={(value) => {
            name.value = value;
          }}
        />
        <Choose
          label={t("invite.language")}
          value={speaks.value}
          onChange={(value) => {
            speaks.value = value === "en" ? "en" : "bg";
          }}
        >
          <option value="bg" lang="bg">
            Български
          </option>
          <option value="en" lang="en">
            English
          </option>
        </Choose>
      </div>
      <Field
        label={t("invite.email")}
        hint={t("invite.email_hint")}
        type="email"
        mode="email"
        value={email.value}
        onInput={(value) => {
          email.value = value;
        }}
      />
      <Refusal error={asking.fault.value} />
      <button type="submit" class="button primary" disabled={asking.busy.value}>
        {email.value.trim() === "" ? t("invite.make") : t("invite.make_and_send")}
      </button>
    </form>
  );
}

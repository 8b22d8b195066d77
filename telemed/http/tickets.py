"""Invitations: a ticket for one visit with its words, picture and calendar file; taking it back.

The link is in one answer, once, and in the e-mail when one is asked for; neither the token nor the address is kept.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Literal
from uuid import UUID

import structlog
from aiohttp import web
from pydantic import AfterValidator, StringConstraints

from telemed.audit import Actor, record
from telemed.consultation import invitations, seats, tickets
from telemed.consultation.calendar_file import calendar_file, method_of
from telemed.consultation.consultations import Consultation
from telemed.consultation.post import MailFault, MailNotConfigured, Post
from telemed.consultation.seats import Seat
from telemed.consultation.tickets import Ticket, TicketsFull
from telemed.errors import DatabaseUnavailable, KeyDestroyed, StateRefused
from telemed.http import keys
from telemed.http.announce import load, tell_seat
from telemed.http.limits import TooManyAttempts
from telemed.http.middleware import is_https
from telemed.http.route import Body, Line, Route, answer, body, uuid_of
from telemed.http.seats import SeatShown, seat_json
from telemed.identity import organisations, policy
from telemed.identity.organisations import Organisation
from telemed.settings import is_mail_address

LOG = structlog.get_logger(__name__)
MAILS = 20  # e-mails a minute of one account: a morning's invitations, not a mailing
Role = Literal["patient", "relative", "interpreter", "second_clinician"]
Language = Literal["bg", "en"]
Name = Annotated[Line, StringConstraints(min_length=1, max_length=200)]


def _one_address(text: str) -> str:
    if not is_mail_address(text):
        raise ValueError("not one e-mail address")
    return text


class TicketNew(Body):
    """Whom to invite as what, in which language; with ``email`` the invitation goes there, once."""

    role: Role
    name: Name | None = None
    language: Language
    email: Annotated[str, AfterValidator(_one_address)] | None = None


class TicketListed(Body):
    """A ticket as staff see it, with the browsers that joined by it."""

    id: UUID
    role: Role
    name: str | None
    language: Language
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None
    seats: list[SeatShown]


class TicketsListed(Body):
    """A consultation's tickets, the oldest first."""

    tickets: list[TicketListed]


class ByLanguage(Body):
    """A text in both languages."""

    bg: str
    en: str


class MailShown(Body):
    """Whether the mail server took the e-mail; ``code`` says why not."""

    sent: bool
    code: str | None = None


class InvitationShown(Body):
    """A new ticket. ``link``, also in the words, the picture and the calendar file, is shown this once."""

    ticket: TicketListed
    link: str
    words: ByLanguage
    subject: ByLanguage
    qr: str
    calendar: str
    mail: MailShown | None


async def create_ticket(request: web.Request) -> web.Response:
    """Make a ticket and everything that hands it over. It is valid whether or not the e-mail then goes."""
    wanted, actor, app = await body(request, TicketNew), request[keys.ACTOR], request.app
    if wanted.email is not None:
        app[keys.LIMITS].count("mail", str(actor.id), MAILS)
    async with app[keys.DATABASE].transaction() as connection:
        consultation = await load(app, connection, uuid_of(request))
        detail: dict[str, object] = {"role": wanted.role, "email": wanted.email is not None}
        await policy.require(connection, actor, "ticket.create", consultation.target, detail)
        ticket, token = await tickets.create(
            connection, app[keys.SEALER], consultation, wanted.role, wanted.name, wanted.language, UUID(actor.id)
        )
        organisation = await organisations.get(connection, consultation.organisation_id)
    link = invitations.link_of(_base(request), token)
    invitation = invitations.invitation_of(consultation, organisation, wanted.role, link)
    calendar = _calendar(request, consultation, organisation, wanted.language, link)
    mail = None
    if wanted.email is not None:
        mail = await _send(app[keys.POST], invitation, wanted.language, wanted.email, calendar)
        await _note(app, actor, consultation, ticket, mail)
    said, subjects = invitations.both(invitation)
    return answer(InvitationShown(
        ticket=_ticket_json(ticket, ()), link=link, words=ByLanguage(**said), subject=ByLanguage(**subjects),
        qr=invitations.qr(link), calendar=calendar, mail=mail,
    ), 201)


async def list_tickets(request: web.Request) -> web.Response:
    """The consultation's tickets and who came by them."""
    app = request.app
    async with app[keys.DATABASE].transaction() as connection:
        consultation = await load(app, connection, uuid_of(request))
        await policy.require(connection, request[keys.ACTOR], "ticket.list", consultation.target)
        found = await tickets.listed(connection, app[keys.SEALER], consultation.id)
        joined = await seats.of(connection, app[keys.SEALER], consultation.id)
    return answer(TicketsListed(tickets=[_ticket_json(one, joined) for one in found]))


async def revoke_ticket(request: web.Request) -> web.Response:
    """Take a ticket back; whoever came by it is sent out at once."""
    app, actor, ticket_id = request.app, request[keys.ACTOR], uuid_of(request, "ticket")
    async with app[keys.DATABASE].transaction() as connection:
        consultation = await load(app, connection, uuid_of(request))
        await policy.require(
            connection, actor, "ticket.revoke", consultation.target, {"ticket": str(ticket_id)}
        )
        ticket, removed = await tickets.revoke(
            connection, app[keys.SEALER], consultation.id, ticket_id, UUID(actor.id)
        )
        joined = await seats.of(connection, app[keys.SEALER], consultation.id)
    for seat_id in removed:
        tell_seat(app, consultation.organisation_id, consultation.id, seat_id, "removed")
    return answer(_ticket_json(ticket, joined))


async def read_calendar(request: web.Request) -> web.Response:
    """The appointment for a calendar, without a link: whoever reads a calendar does not come in by it."""
    app, account = request.app, request[keys.ACCOUNT]
    async with app[keys.DATABASE].transaction() as connection:
        consultation = await load(app, connection, uuid_of(request))
        await policy.require(connection, request[keys.ACTOR], "consultation.calendar", consultation.target)
        organisation = await organisations.get(connection, consultation.organisation_id)
    text = _calendar(request, consultation, organisation, account.language, None)
    return web.Response(
        body=text.encode(),
        headers={
            "Content-Type": f'text/calendar; charset=utf-8; method="{method_of(consultation)}"',
            "Content-Disposition": f'attachment; filename="{invitations.CALENDAR_FILE}"',
        },
    )


async def _send(
    post: Post, invitation: invitations.Invitation, language: Language, to: str, calendar: str
) -> MailShown:
    """After the commit: one try. The address goes no further than this."""
    try:
        if post.sender is None:
            raise MailNotConfigured()
        await post.send(invitations.email(invitation, language, post.sender, to, calendar), to)
    except MailFault as fault:
        LOG.warning("mail_not_sent", code=fault.code, reply=fault.params.get("reply"))
        return MailShown(sent=False, code=fault.code)
    return MailShown(sent=True)


async def _note(
    app: web.Application, actor: Actor, consultation: Consultation, ticket: Ticket, mail: MailShown
) -> None:
    """Record whether the e-mail went. It went or not by now, and the invitation is answered all the same."""
    with contextlib.suppress(DatabaseUnavailable):
        async with app[keys.DATABASE].transaction() as connection:
            await record(
                connection, actor, "ticket.mail", "event", object_kind="consultation",
                object_id=str(consultation.id), patient_id=consultation.patient_id,
                detail={"ticket": str(ticket.id), "mailed": mail.sent},
            )


def _calendar(
    request: web.Request, consultation: Consultation, organisation: Organisation, language: str, link: str | None
) -> str:
    sender = request.app[keys.POST].sender
    organiser = _base(request) if sender is None else f"mailto:{sender}"
    return calendar_file(consultation, organisation, language, datetime.now(UTC), organiser, link)


def _base(request: web.Request) -> str:
    """Where people outside find the server: as set, else where the browser that asks found it."""
    scheme = "https" if is_https(request) else "http"
    return request.app[keys.SETTINGS].public_url or f"{scheme}://{request.host}"


def _ticket_json(ticket: Ticket, joined: Sequence[Seat]) -> TicketListed:
    return TicketListed(
        id=ticket.id, role=ticket.role, name=ticket.name, language=ticket.language, created_at=ticket.created_at,
        expires_at=ticket.expires_at, revoked_at=ticket.revoked_at,
        seats=[seat_json(one) for one in joined if one.ticket_id == ticket.id],
    )


def _open_post(app: web.Application) -> None:
    app[keys.POST] = Post.load(app[keys.SETTINGS])


PREPARE = (_open_post,)
ROUTES = (
    Route("GET", "/api/v1/consultations/{id}/tickets", "ticket.list", list_tickets, "A consultation's tickets",
          response=TicketsListed),
    Route("POST", "/api/v1/consultations/{id}/tickets", "ticket.create", create_ticket, "Invite somebody to a visit",
          TicketNew, InvitationShown, 201, (StateRefused, TicketsFull, KeyDestroyed, TooManyAttempts)),
    Route("DELETE", "/api/v1/consultations/{id}/tickets/{ticket}", "ticket.revoke", revoke_ticket,
          "Take a ticket back", response=TicketListed),
    Route("GET", "/api/v1/consultations/{id}/calendar", "consultation.calendar", read_calendar,
          "The appointment as a calendar file"),
)

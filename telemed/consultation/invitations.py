"""An invitation in words that an old person reads on a telephone: who invites, when, what to press, whom to call.

Pure. The words are the catalogues' (``invitation.*``), in both languages; times are shown in the organisation's zone.
Nothing here names the patient or says what the visit is about, so an invitation in the wrong hands tells little.
"""

from __future__ import annotations

import html
import io
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, make_msgid
from zoneinfo import ZoneInfo

import segno
from telemed_web import LANGUAGES, words

from telemed.consultation.consultations import Consultation
from telemed.consultation.tickets import Role
from telemed.identity.organisations import Organisation

CALENDAR_FILE = "visit.ics"
QR_SCALE = 8  # units a module in the picture; the page and the paper scale it
QR_BORDER = 4  # modules of quiet zone (ISO/IEC 18004, 5.3.8)
SENDER_LENGTH = 120  # characters of the organisation's name in the header of an e-mail
ASKED = ("patient", "relative")  # where they are and whether they agree
JOIN_BUTTON = "join.join"  # what the page writes on the button that is to be pressed


@dataclass(frozen=True, slots=True)
class Invitation:
    """What one ticket's invitation says. ``link`` is the only secret in it; ``scheduled_at`` None means now."""

    role: Role
    link: str
    organisation: str
    phone: str  # "" when the organisation gave none
    zone: str
    clinician: str | None
    scheduled_at: datetime | None
    minutes: int


def invitation_of(consultation: Consultation, organisation: Organisation, role: Role, link: str) -> Invitation:
    """The invitation to a consultation. One that waits, or was not appointed, is for now."""
    appointed = consultation.scheduled_at if consultation.waiting_at is None else None
    return Invitation(
        role, link, organisation.name, organisation.phone, organisation.zone,
        None if consultation.clinician is None else consultation.clinician.name, appointed, consultation.minutes,
    )


def link_of(base: str, token: str) -> str:
    """The link of a token; the token is in the fragment, which no server and no preview is sent (RFC 3986 3.5)."""
    return f"{base}/#/join/{token}"


def subject(invitation: Invitation, language: str) -> str:
    """The subject line: what it is and when, never who."""
    return words(f"invitation.subject.{_when(invitation)}", _at(invitation, language), language)


def text(invitation: Invitation, language: str) -> str:
    """The whole invitation as plain text, paragraphs apart by an empty line."""
    return "\n\n".join(_paragraphs(invitation, language))


def both(invitation: Invitation) -> tuple[dict[str, str], dict[str, str]]:
    """Text and subject by language."""
    return (
        {language: text(invitation, language) for language in LANGUAGES},
        {language: subject(invitation, language) for language in LANGUAGES},
    )


def qr(link: str) -> str:
    """The link as a QR picture: SVG of paths alone, error correction level M, without script or style."""
    out = io.BytesIO()
    segno.make(link, error="m", micro=False).save(
        out, kind="svg", scale=QR_SCALE, border=QR_BORDER, dark="#000", light="#fff", xmldecl=False, nl=False,
        svgclass=None, lineclass=None, omitsize=True,
    )
    return out.getvalue().decode()


def email(invitation: Invitation, language: str, sender: str, to: str, calendar: str) -> EmailMessage:
    """The invitation as an e-mail to one address: text, the same with a link to press, and the calendar file."""
    message = EmailMessage(policy=SMTP)
    local, _, domain = sender.rpartition("@")
    message["From"] = Address(_one_line(invitation.organisation)[:SENDER_LENGTH], local, domain)
    message["To"] = Address(username=to.rpartition("@")[0], domain=to.rpartition("@")[2])
    message["Subject"] = _one_line(subject(invitation, language))
    message["Date"] = format_datetime(datetime.now(UTC))
    message["Message-ID"] = make_msgid(domain=domain)
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no holiday note comes back
    message.set_content(text(invitation, language) + "\n")
    message["Content-Language"] = language
    message.add_alternative(_html(invitation, language), subtype="html")
    message.add_attachment(
        calendar.encode(), maintype="text", subtype="calendar", filename=CALENDAR_FILE,
        params={"charset": "utf-8", "method": "PUBLISH"},
    )
    return message


def _paragraphs(invitation: Invitation, language: str) -> list[str]:
    def said(key: str, **params: str | int) -> str:
        return words(f"invitation.{key}", params, language)

    role, when = invitation.role, _when(invitation)
    by = "with" if invitation.clinician is not None else "without"
    at = words(f"invitation.when.{when}", _at(invitation, language) | {"minutes": invitation.minutes}, language)
    if invitation.scheduled_at is not None and role != "patient":  # who may well be in another country
        offset = f"{invitation.scheduled_at.astimezone(ZoneInfo(invitation.zone)):%z}"
        at += " " + said("zone", zone=invitation.zone, offset=f"UTC{offset[:3]}:{offset[3:]}")
    return [
        said("greeting"),
        said(f"who.{role}.{by}", organisation=invitation.organisation, clinician=invitation.clinician or ""),
        at,
        said(f"press.{when}"),
        invitation.link,
        said("join", button=words(JOIN_BUTTON, {}, language)),
        *([said(f"asks.{role}")] if role in ASKED else []),
        said(f"need.{role}"),
        said("alone"),
        said("trouble.phone", phone=invitation.phone) if invitation.phone else said("trouble.without"),
        said("emergency"),
    ]


def _when(invitation: Invitation) -> str:
    return "now" if invitation.scheduled_at is None else "at"


def _at(invitation: Invitation, language: str) -> dict[str, str | int]:
    """Day and time (24 h) where the organisation is, in the language's form."""
    if invitation.scheduled_at is None:
        return {}
    local = invitation.scheduled_at.astimezone(ZoneInfo(invitation.zone))
    named: Mapping[str, str | int] = {
        "weekday": words("invitation.weekdays", {}, language).split("|")[local.weekday()],
        "month": words("invitation.months", {}, language).split("|")[local.month - 1],
        "day": f"{local.day:02}", "year": local.year,
    }
    return {
        "weekday": named["weekday"], "date": words("invitation.date", named, language),
        "time": f"{local:%H:%M}",
    }


def _html(invitation: Invitation, language: str) -> str:
    """The paragraphs as a page without pictures, scripts or anything fetched; the link is large enough to press."""
    link = html.escape(invitation.link)
    press = html.escape(words(JOIN_BUTTON, {}, language))
    parts = []
    for paragraph in _paragraphs(invitation, language):
        if paragraph == invitation.link:
            parts.append(f'<p style="font-size:24px"><a href="{link}"><b>{press}</b></a></p><p>{link}</p>')
        else:
            parts.append(f"<p>{html.escape(paragraph)}</p>".replace("\n", "<br>"))
    return (
        f'<!doctype html><html lang="{language}"><head><meta charset="utf-8"></head>'
        f'<body style="font-family:sans-serif;font-size:18px;line-height:1.5">{"".join(parts)}</body></html>\n'
    )


def _one_line(text_: str) -> str:
    return " ".join("".join(one if one.isprintable() else " " for one in text_).split())

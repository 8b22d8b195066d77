"""A visit as a calendar file (RFC 5545, by RFC 5546's rules): the time, nothing about health, a reminder.

Pure. The UID is the consultation's for good and SEQUENCE counts its moves, so a newer file moves the older entry
in the calendar; METHOD is PUBLISH, or CANCEL once the visit is cancelled.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from icalendar import Alarm, Calendar, Event, vCalAddress, vText
from telemed_web import words

from telemed.consultation.consultations import Consultation
from telemed.consultation.states import State
from telemed.identity.organisations import Organisation

REMINDER = timedelta(minutes=-30)  # before the begin: time to charge the telephone and find glasses
PRODUCT = "-//Telemed//Telemed//EN"
GONE = frozenset({State.CANCELLED})


def method_of(consultation: Consultation) -> str:
    """The file's METHOD (RFC 5546 3.2): PUBLISH, or CANCEL of a cancelled visit."""
    return "CANCEL" if consultation.state in GONE else "PUBLISH"


def calendar_file(
    consultation: Consultation, organisation: Organisation, language: str, now: datetime, organiser: str,
    link: str | None = None,
) -> str:
    """The file as text with CRLF line ends.

    ``organiser`` is a URI of whoever publishes it (RFC 5546 wants one); ``link`` goes in where the file is for the
    one person that it belongs to. A visit without an appointment began when it was made, and needs no reminder.
    """
    begin = consultation.scheduled_at or consultation.created_at.replace(microsecond=0)
    cancelled = consultation.state in GONE
    event = Event()
    event.add("uid", f"{consultation.id}@telemed")
    event.add("dtstamp", now.astimezone(UTC))
    event.add("dtstart", begin.astimezone(UTC))
    event.add("dtend", begin.astimezone(UTC) + timedelta(minutes=consultation.minutes))
    # RFC 5546 2.1.4: a cancellation is a change after the last move.
    event.add("sequence", consultation.moved + (1 if cancelled else 0))
    event.add("status", "CANCELLED" if cancelled else "CONFIRMED")
    event.add("class", "PRIVATE")
    event.add("summary", words("invitation.calendar.summary", {}, language))
    event.add("description", _description(organisation, language, link))
    publisher = vCalAddress(organiser)
    publisher.params["cn"] = vText(organisation.name)
    event["organizer"] = publisher
    if link is not None:
        event.add("url", link)
    if consultation.scheduled_at is not None and not cancelled:
        event.add_component(_alarm(language))
    calendar = Calendar()
    calendar.add("prodid", PRODUCT)
    calendar.add("version", "2.0")
    calendar.add("method", method_of(consultation))
    calendar.add_component(event)
    return str(calendar.to_ical().decode())


def _alarm(language: str) -> Alarm:
    alarm = Alarm()
    alarm.add("action", "DISPLAY")
    alarm.add("trigger", REMINDER)
    alarm.add("description", words("invitation.calendar.summary", {}, language))
    return alarm


def _description(organisation: Organisation, language: str, link: str | None) -> str:
    parts = [words(f"invitation.calendar.{'without' if link is None else 'link'}", {"link": link or ""}, language)]
    if organisation.phone:
        parts.append(words("invitation.trouble.phone", {"phone": organisation.phone}, language))
    parts.append(words("invitation.emergency", {}, language))
    return "\n".join(parts)

"""Reading the audit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any
from uuid import UUID

from aiohttp import web
from pydantic import Field

from telemed.audit import trail
from telemed.http import keys
from telemed.http.route import Body, Route, answer, query
from telemed.http.shapes import AuditEvents, AuditShown
from telemed.identity import policy


class AuditPage(Body):
    """Which rows: of a patient or all, before an id, so many."""

    patient_id: UUID | None = None
    before: Annotated[int, Field(ge=1, le=trail.LAST)] = trail.LAST
    limit: Annotated[int, Field(ge=1, le=trail.PAGE_MOST)] = trail.PAGE


def events_of(found: Sequence[trail.AuditEvent], limit: int) -> AuditEvents:
    """The rows as JSON."""
    shown = [AuditShown.model_validate(_plain(event)) for event in found]
    return AuditEvents(events=shown, next=found[-1].id if len(found) == limit else None)


def _plain(event: trail.AuditEvent) -> dict[str, Any]:
    return {name: getattr(event, name) for name in AuditShown.model_fields} | {"detail": dict(event.detail)}


async def list_audit(request: web.Request) -> web.Response:
    """The organisation's audit, newest first."""
    page, actor = query(request, AuditPage), request[keys.ACTOR]
    async with request.app[keys.DATABASE].connection() as connection:
        await policy.require(connection, actor, "audit.list")
        found = await trail.listed(
            connection, request[keys.ACCOUNT].organisation_id, patient_id=page.patient_id, before=page.before,
            limit=page.limit,
        )
    return answer(events_of(found, page.limit))


ROUTES = (
    Route("GET", "/api/v1/audit", "audit.list", list_audit, "The audit, newest first", response=AuditEvents,
          query=AuditPage),
)

"""Reviewing a consultation: what was stored, its waves, and its numbers over time.

An answer of waves has a strong ETag, so that a page that has it asks again for nothing. It stays ``no-store`` as every
answer with a patient in it (``middleware.browser_rules``): the page keeps it in its memory and sends If-None-Match
itself; a browser's cache on a ward's shared computer would outlive the sign-in.
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Annotated, Any, Final, Literal

from aiohttp import web
from pydantic import Field

from telemed.errors import KeyDestroyed
from telemed.http import keys
from telemed.http.announce import consultation_json, load
from telemed.http.errors import log_unexpected
from telemed.http.route import Body, Route, answer, query, uuid_of
from telemed.http.shapes import ConsultationShown
from telemed.identity import policy
from telemed.vitals import review, trend, waves
from telemed.vitals.faults import ViewUnknown, WindowTooLarge
from telemed.vitals.storage.reading_state import state_of
from telemed.vitals.storage.reading_views import View
from telemed.vitals.stored import open_stored

WAVES: Final = "application/vnd.telemed.waves"
READERS: Final = web.AppKey("REVIEW_READERS", asyncio.Semaphore)
READERS_AT_ONCE: Final = 4  # of the pool's 16 connections: a slow reader holds one
ANSWER_SECONDS: Final = 120.0  # the largest answer (48 MB) at 0.4 MB/s
LATEST: Final = 7_258_118_400_000_000  # 2200-01-01, as everywhere on the wire


class Segment(Body):
    """Samples of one stream without a hole; times are consultation time, ``to_us`` exclusive."""

    stream: int
    from_us: int
    to_us: int
    first_sample: int
    n: int


class ReviewStream(Body):
    """One device's signal over all its epochs; ``stream`` is the first of them."""

    stream: int
    kind: str
    device: str
    origin: Literal["measured", "recording", "simulated"]
    channels: list[str]
    rate: tuple[int, int]
    from_us: int
    to_us: int
    segments: list[Segment]


class Gap(Body):
    """A hole of a signal."""

    kind: str
    from_us: int
    to_us: int


class StoredNumber(Body):
    """A device's own number; ``value`` null says why in ``quality``."""

    kind: str
    value: str | None
    unit: str
    at_us: int
    source: str
    origin: Literal["measured", "recording", "simulated"]
    derived: bool
    quality: list[str]
    extra: dict[str, str | None]


class Review(Body):
    """What was stored of a consultation."""

    consultation: ConsultationShown
    from_us: int
    to_us: int
    streams: list[ReviewStream]
    gaps: list[Gap]
    numerics: list[StoredNumber]
    numerics_truncated: bool


class WavesQuery(Body):
    """A window of consultation time, ``to_us`` exclusive."""

    kind: Literal["ecg", "pleth", "respiration"]
    from_us: Annotated[int, Field(ge=0, lt=LATEST)]
    to_us: Annotated[int, Field(ge=0, lt=LATEST)]
    view: View = "monitor"
    columns: Annotated[int, Field(ge=1, le=waves.COLUMNS_MAX)] | None = None


class TrendQuery(Body):
    """A window of consultation time, ``to_us`` exclusive, and into how many columns it is cut."""

    from_us: Annotated[int, Field(ge=0, lt=LATEST)]
    to_us: Annotated[int, Field(ge=0, lt=LATEST)]
    columns: Annotated[int, Field(ge=1, le=waves.COLUMNS_MAX)]


class TrendSeries(Body):
    """One number of one device. ``part`` names an extra of the reading (``diastolic``), null its value.

    The arrays are of one length, an element for each column that has readings: its place, and of its readings the
    least, the greatest, the last (each as the device said it) and how many there were.
    """

    kind: str
    part: str | None
    unit: str
    source: str
    origin: Literal["measured", "recording", "simulated"]
    column: list[int]
    least: list[str]
    greatest: list[str]
    last: list[str]
    count: list[int]


class Trend(Body):
    """The devices' numbers of a window; column k begins at ``from_us`` + k * (``to_us`` - ``from_us``) // columns."""

    from_us: int
    to_us: int
    columns: int
    series: list[TrendSeries]


async def read_review(request: web.Request) -> web.Response:
    """What was stored: streams, holes, numbers."""
    app = request.app
    async with app[keys.DATABASE].connection() as connection:
        consultation = await load(app, connection, uuid_of(request))
        await policy.require(connection, request[keys.ACTOR], "review.read", consultation.target)
        stored = await open_stored(connection, app[keys.SEALER], consultation.id)
        found: dict[str, Any] = await review.summary(connection, stored)
    return answer(Review.model_validate({"consultation": consultation_json(app, consultation), **found}))


async def read_trend(request: web.Request) -> web.Response:
    """The numbers of a window, in columns."""
    app, wanted = request.app, query(request, TrendQuery)
    async with asyncio.timeout(ANSWER_SECONDS), app[READERS], app[keys.DATABASE].connection() as connection:
        consultation = await load(app, connection, uuid_of(request))
        await policy.require(connection, request[keys.ACTOR], "review.read", consultation.target)
        stored = await open_stored(connection, app[keys.SEALER], consultation.id)
        series = await trend.trend(connection, stored, wanted.from_us, wanted.to_us, wanted.columns)
    shown = [TrendSeries.model_validate(asdict(one)) for one in series]
    return answer(Trend(from_us=wanted.from_us, to_us=wanted.to_us, columns=wanted.columns, series=shown))


async def read_waves(request: web.Request) -> web.StreamResponse:
    """The samples of a window, or that they are those that the page has."""
    app, wanted = request.app, query(request, WavesQuery)
    window = waves.Window(wanted.from_us, wanted.to_us, wanted.view, wanted.columns)
    response = web.StreamResponse(headers={"Content-Type": WAVES})
    try:
        async with asyncio.timeout(ANSWER_SECONDS), app[READERS], app[keys.DATABASE].connection() as connection:
            consultation = await load(app, connection, uuid_of(request))
            await policy.require(connection, request[keys.ACTOR], "review.read", consultation.target)
            stored = await open_stored(connection, app[keys.SEALER], consultation.id)
            streams = stored.waves(wanted.kind)
            # The state first: what is stored meanwhile is in the answer, and the next state is another.
            state = await state_of(connection, streams, window)
            if any(one.value in (state, "*") for one in request.if_none_match or ()):
                window.check()
                return web.Response(status=304, headers={"ETag": f'"{state}"'})
            response.etag = state
            async for part in waves.answer(connection, streams, window):
                if not response.prepared:
                    await response.prepare(request)
                await response.write(part)
        await response.write_eof()
    except Exception as error:
        if not response.prepared:
            raise
        _break_off(request, error)
    return response


def _break_off(request: web.Request, error: Exception) -> None:
    """End an answer that has begun: the reader sees a broken connection, never a second answer in its body."""
    if not isinstance(error, ConnectionError):  # the reader left: nothing is wrong
        log_unexpected(error, request[keys.REQUEST_ID], "review.read")
    if request.transport is not None:
        request.transport.abort()


def prepare(app: web.Application) -> None:
    """Bound the answers that are made at the same time."""
    app[READERS] = asyncio.Semaphore(READERS_AT_ONCE)


PREPARE = (prepare,)
ROUTES = (
    Route("GET", "/api/v1/consultations/{id}/review", "review.read", read_review, "What was stored of a consultation",
          response=Review, errors=(KeyDestroyed,)),
    Route("GET", "/api/v1/consultations/{id}/waves", "review.read", read_waves, "Stored samples of a window",
          query=WavesQuery, errors=(KeyDestroyed, ViewUnknown, WindowTooLarge)),
    Route("GET", "/api/v1/consultations/{id}/trend", "review.read", read_trend, "Numbers of a window in columns",
          query=TrendQuery, response=Trend, errors=(KeyDestroyed, WindowTooLarge)),
)

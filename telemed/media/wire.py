"""What the server and its relay process say to each other, over a Unix socket: a length and a JSON object each.

Server: ``begin`` once, then requests with a number ``ask``, each answered by ``answer`` with that number, and orders
without one. Relay: ``up`` once, answers, events as :class:`telemed.media.engine.Engine` names them, and what is tapped:
no JSON, but a message of ``telemed.media.recording.tapped``, told by its first byte.
"""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from telemed.media.backend import MediaError, PublicationNotFound, ResourceNotFound, TooManySessions
from telemed.media.recording.tapped import MARK
from telemed.media.terms import Ground, Stream, Terms

MESSAGE_BYTES = 262_144  # the longest is the terms of an offer of 64 KiB
_LENGTH = struct.Struct("!I")
TAPPED = bytes([MARK])

REFUSALS: dict[str, type[MediaError]] = {
    "too_many": TooManySessions, "no_publication": PublicationNotFound, "no_leg": ResourceNotFound,
}  # fmt: skip


class Broken(ConnectionError):
    """The other side has gone, or says what nobody understands."""


def packed(message: dict[str, Any]) -> bytes:
    """The message as it travels."""
    return framed(json.dumps(message, separators=(",", ":")).encode())


def framed(body: bytes) -> bytes:
    """A body that is no JSON, as it travels."""
    return _LENGTH.pack(len(body)) + body


async def read(reader: asyncio.StreamReader, tapped: Callable[[bytes], None] | None = None) -> dict[str, Any]:
    """The next message; what is tapped comes before it and goes to ``tapped``. Raises :class:`Broken`."""
    try:
        while True:
            (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
            if length > MESSAGE_BYTES:
                raise Broken("a message is too long")
            body = await reader.readexactly(length)
            if tapped is None or body[:1] != TAPPED:
                break
            tapped(body)
        message = json.loads(body)
    except (asyncio.IncompleteReadError, OSError, ValueError) as error:
        raise Broken(type(error).__name__) from error
    if not isinstance(message, dict):
        raise Broken("not an object")
    return message


def terms_of(said: dict[str, Any]) -> Terms:
    """The terms that ``asdict`` made this of."""
    streams = tuple(
        Stream(**{**one, "rids": tuple(one["rids"]), "ssrcs": tuple((first, rtx) for first, rtx in one["ssrcs"])})
        for one in said["streams"]
    )
    prints = tuple((name, value) for name, value in said["fingerprints"])
    return Terms(said["ufrag"], said["password"], prints, said["active"], streams)


def ground_of(said: dict[str, Any]) -> Ground:
    """The ground that ``asdict`` made this of."""
    ssrcs = {kind: (ssrc, rtx) for kind, (ssrc, rtx) in said["ssrcs"].items()}
    return Ground(**{**said, "candidates": tuple(said["candidates"]), "ssrcs": ssrcs})


def refusal(error: MediaError) -> dict[str, Any]:
    """A refusal, as an answer."""
    return {"refused": next(name for name, kind in REFUSALS.items() if isinstance(error, kind))}


def answer(ask: int, ground: Ground | None) -> dict[str, Any]:
    """The answer to a request."""
    return {"answer": ask} | ({} if ground is None else {"ground": asdict(ground)})

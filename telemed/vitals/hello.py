"""The first message of every socket."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from aiohttp import WSMsgType, web
from pydantic import TypeAdapter

from telemed.vitals.faults import HelloExpected, MessageInvalid
from telemed.vitals.messages import Hello, agree, parse

HELLO_SECONDS: Final = 5.0  # protocol section 4


async def read_hello(socket: web.WebSocketResponse, messages: TypeAdapter[Any]) -> tuple[Hello, int]:
    """The peer's ``hello`` and the protocol version that both speak.

    Raises ``HelloExpected`` when something else comes, or nothing within five seconds, and ``ProtocolTooOld``.
    """
    try:
        async with asyncio.timeout(HELLO_SECONDS):
            message = await socket.receive()
    except TimeoutError:
        raise HelloExpected() from None
    try:
        first = parse(messages, message.data if message.type is WSMsgType.TEXT else "")
    except MessageInvalid:
        raise HelloExpected() from None
    if not isinstance(first, Hello):
        raise HelloExpected()
    return first, agree(first)

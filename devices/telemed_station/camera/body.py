"""The body of an answer, all of it: what has come of it at once is only its beginning on a slow line."""

from __future__ import annotations

import aiohttp


class AnswerTooLong(ValueError):
    """The server answered with more than such an answer holds."""


async def whole(reply: aiohttp.ClientResponse, most: int) -> bytes:
    """The body, of at most ``most`` bytes. Raises ``AnswerTooLong``, and what ends the connection."""
    found = b""
    async for part in reply.content.iter_any():
        found += part
        if len(found) > most:
            raise AnswerTooLong
    return found

"""A body written part after part: files and recordings. A broken one never looks whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from aiohttp import web

from telemed.http import keys
from telemed.http.errors import log_unexpected

BODY_SECONDS: Final = 900.0  # for the whole of it: 25 MiB at 240 kbit/s
PART_SECONDS: Final = 60.0  # for one part of 1 MiB to be taken


async def send_parts(
    request: web.Request, response: web.StreamResponse, parts: AsyncIterator[bytes | memoryview], action: str
) -> web.StreamResponse:
    """Send the parts, none for HEAD. What fails before the first byte is raised; after it, the connection is cut."""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            await response.prepare(request)
            if request.method != "HEAD":
                async for part in parts:
                    async with asyncio.timeout(PART_SECONDS):
                        await response.write(part)
            await response.write_eof()
    except Exception as error:
        if not response.prepared:
            raise
        if not isinstance(error, ConnectionError | TimeoutError):
            log_unexpected(error, request[keys.REQUEST_ID], action)
        if request.transport is not None:  # a broken connection, never a second answer in the body's bytes
            request.transport.abort()
    return response

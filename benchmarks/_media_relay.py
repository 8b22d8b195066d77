"""Telemed's relay process as a server of the media benchmark: started and told as the server does it.

Argument: the address that it announces. Lines (see ``_media_lines``): ``start`` → {"pid"}, the relay process's;
``publish`` and ``play`` {"sdp"} → {"sdp"}.
"""

from __future__ import annotations

import asyncio
import itertools
import sys

from _media_lines import Answer, serve

from telemed.media.answer import write_answer
from telemed.media.backend import Role
from telemed.media.client import RelayClient
from telemed.media.offer import carried, read_offer, terms

PUBLICATION = "benchmark"


class Relayed:
    """One publication and whoever plays it."""

    def __init__(self, address: str) -> None:
        self.client = RelayClient((address,))
        self._numbers = itertools.count(1)

    async def handle(self, question: Answer) -> Answer:
        """Do what a line says."""
        if question["op"] == "start":
            await self.client.start()
            return {"pid": self.client.pid}
        role: Role = "publish" if question["op"] == "publish" else "play"
        offer = read_offer(question["sdp"])
        agreed = terms(offer, {section.kind: carried(section)[0] for section in offer.sections}, role)
        ground = await self.client.open(f"leg-{next(self._numbers)}", role, PUBLICATION, agreed)
        return {"sdp": write_answer(offer, agreed, ground, role)}


async def main(address: str) -> None:
    """Serve the lines; the relay ends with them."""
    relayed = Relayed(address)
    try:
        await serve(relayed.handle)
    finally:
        await relayed.client.stop()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))

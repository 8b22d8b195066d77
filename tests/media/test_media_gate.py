"""Strangers' datagrams: never answered, never handed to DTLS, and no hindrance to a call."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import Any

from aioice import stun

from telemed.media.backend import Publisher
from telemed.media.offer import read_description
from telemed.media.plane import MediaPlane
from telemed.media.relay.relay import Relay

STATION = Publisher("station:1", "station")
FLOOD_SECONDS = 1 / 500  # 500 datagrams a second
# A DTLS 1.2 ClientHello record (RFC 6347 section 4.1) with nothing sensible inside.
CLIENT_HELLO = bytes.fromhex("16fefd00000000000000000064010000580000000000000058fefd") + os.urandom(86)


def door(answer: str) -> tuple[str, int]:
    """Where the answer says the server listens."""
    line = next(line for line in answer.splitlines() if line.startswith("a=candidate:"))
    return line.split()[4], int(line.split()[5])


async def flood(address: tuple[str, int], stranger: socket.socket) -> None:
    unsigned = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
    unsigned.attributes["USERNAME"] = "abcd:efgh"
    unsigned.attributes["PRIORITY"] = 1
    forged = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
    forged.attributes.update(unsigned.attributes)
    forged.add_message_integrity(b"not the password at all")
    broken = bytes(unsigned)[:4] + stun.COOKIE.to_bytes(4, "big") + bytes(12) + b"\x00\x24\x00\x01\xff\x00\x00\x00"
    junk = [CLIENT_HELLO, bytes(unsigned), bytes(forged), broken, b"\x80\x60" + os.urandom(300), b"", b"\x00"]
    number = 0
    while True:
        stranger.sendto(junk[number % len(junk)] if number % 3 == 0 else CLIENT_HELLO, address)
        number += 1
        await asyncio.sleep(FLOOD_SECONDS)


async def test_three_of_three_calls_connect_under_a_flood(plane: Any, wait: Any, peer: Any) -> None:
    for number in range(3):
        room, before = f"room {number}", plane.media.stats().datagrams_refused
        caller = peer()
        caller.pc.addTransceiver("video", direction="sendonly")
        made = await plane.media.publish(room, STATION, await caller.offer())
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.setblocking(False)
            flooding = asyncio.ensure_future(flood(door(made.answer_sdp), stranger))
            known = before + 20
            await wait(lambda known=known: plane.media.stats().datagrams_refused > known, "the flood is there first")
            await caller.accept(made.answer_sdp)
            await wait(lambda room=room: plane.media.publications(room), "the call connects")
            await wait(lambda caller=caller: caller.connected, "on both sides")
            flooding.cancel()
            try:
                answered = stranger.recv(2048)
            except BlockingIOError:
                answered = b""
        assert answered == b""
        await caller.close()
    assert plane.media.stats().datagrams_refused > 60


async def test_an_address_that_is_a_routers_is_announced_and_listened_for_everywhere(plane: Any, peer: Any) -> None:
    media = MediaPlane(Relay(("203.0.113.7", "127.0.0.1")), plane.rooms)
    caller = peer()
    caller.pc.addTransceiver("video", direction="sendonly")
    answer = (await media.publish("room", STATION, await caller.offer())).answer_sdp
    candidates = [line.split() for line in answer.splitlines() if line.startswith("a=candidate:")]
    assert [parts[4] for parts in candidates] == ["203.0.113.7", "127.0.0.1"]
    assert "0.0.0.0" not in "".join(line for line in answer.splitlines() if "candidate" in line)
    assert "a=end-of-candidates" in answer
    assert read_description(answer).sections[0].kind == "video"
    await media.close()
    await caller.close()

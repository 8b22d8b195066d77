"""A room of many through a real relay: everybody publishes once, watches slots, and never sees itself."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest

from telemed.media.backend import SdpUnsupported
from telemed.media.relay import rtp
from telemed.media.relay.speakers import PICTURES, VOICES

ROOM = "6b1f5a52-6f0e-4a38-9d57-6f7f0c9a0001"
KEYFRAME = b"\x10\x00\x9d\x01\x2a"  # VP8: start of a partition, a whole picture (RFC 7741 section 4.2, RFC 6386 9.1)
FOLLOWING = b"\x10\x01"
PEOPLE = 8


class Person:
    """Publishes numbered packets, some loud ones, and watches slots."""

    def __init__(self, number: int, peer: Any) -> None:
        self.number, self.peer, self.sent = number, peer, 0
        self.name = f"person:{number}"
        self.loud = False
        self.slots: dict[int, Any] = {}

    async def speak(self) -> None:
        """One packet of sound and one of the picture, which is whole every tenth time."""
        mark = b"%2d %6d" % (self.number, self.sent)
        level = 20 if self.loud else 127
        sound = rtp.RtpPacket(
            self.peer.payload_type("audio"), False, self.sent & 0xFFFF, 960 * self.sent, 1000 + self.number, b"o" + mark
        ).rebuilt(self.peer.payload_type("audio"), self.sent & 0xFFFF, 960 * self.sent, 1000 + self.number)
        # RFC 8285 section 4.2 and RFC 6464 section 3: one element of one byte under the number that was agreed.
        extension = bytes((0xBE, 0xDE, 0, 1, self.level_id << 4, level, 0, 0))
        await self.peer.send_rtcp(bytes((sound[0] | 0x10,)) + sound[1:12] + extension + sound[12:])
        start = KEYFRAME if self.sent % 10 == 0 else FOLLOWING
        video = self.peer.payload_type("video")
        picture = rtp.RtpPacket(video, True, self.sent & 0xFFFF, 1800 * self.sent, 2000 + self.number, start + mark)
        await self.peer.send(picture)
        self.sent += 1

    @property
    def level_id(self) -> int:
        for line in self.peer.answer.splitlines():
            if line.startswith("a=extmap:") and line.endswith("ssrc-audio-level"):
                return int(line.removeprefix("a=extmap:").partition(" ")[0])
        raise LookupError("the level of sound was not agreed")

    def shown(self, slot: int, kind: str) -> int | None:
        """Whose packets came last into a slot."""
        got = self.slots[slot].of(kind)
        return int(got[-1].payload[-9:-7]) if got else None


async def watching(plane: Any, wait: Any, peer: Any, person: Person, slot: int) -> Any:
    made = peer()
    plane.stack.push_async_callback(made.close)
    for kind in ("audio", "video")[0 if slot < VOICES else 1 :]:
        made.pc.addTransceiver(kind, direction="recvonly")
    resource = await plane.media.play_slot(ROOM, slot, await made.offer(), participant=person.name)
    await made.accept(resource.answer_sdp)
    await wait(lambda: made.connected, "the slot is connected")
    person.slots[slot] = made
    return made


async def test_slots_follow_the_speakers_and_never_show_oneself(plane: Any, wait: Any, peer: Any) -> None:
    topic = plane.listen()
    people = []
    for number in range(PEOPLE):
        published = await plane.publisher("audio", "video", by=f"person:{number}", source="camera")
        people.append(Person(number, published))
    people[0].name = people[0].peer.resource.publication.publisher.participant
    watcher = people[0]
    for slot in range(PICTURES):
        await watching(plane, wait, peer, watcher, slot)
    with pytest.raises(SdpUnsupported):  # a slot that is only seen has no sound
        deaf = peer()
        deaf.pc.addTransceiver("audio", direction="recvonly")
        await plane.media.play_slot(ROOM, VOICES, await deaf.offer(), participant=watcher.name)

    async def talk() -> None:
        while True:
            await asyncio.gather(*(person.speak() for person in people if person.peer.connected))
            await asyncio.sleep(0.02)

    talking = asyncio.ensure_future(talk())
    try:
        def heard() -> list[int | None]:
            return [watcher.shown(slot, "audio") for slot in range(VOICES)]

        def seen() -> list[int | None]:
            return [watcher.shown(slot, "video") for slot in range(PICTURES)]

        people[0].loud = people[5].loud = people[6].loud = people[7].loud = True
        await wait(lambda: set(heard()) == {5, 6, 7}, "the speakers are heard, oneself is not")
        await wait(lambda: seen()[:VOICES] == heard(), "and seen where they are heard")
        await wait(lambda: len({*seen()} - {None, 0}) == PICTURES, "six others are seen")
        before = seen()
        people[5].loud, people[2].loud = False, True
        await wait(lambda: set(heard()) == {2, 6, 7}, "another speaker is heard")
        await wait(lambda: seen()[:VOICES] == heard(), "and seen in the place of the one who fell silent")
        assert [now for now, then in zip(seen(), before, strict=True) if then in (6, 7)] == [
            then for then in before if then in (6, 7)
        ], "those who go on speaking stay where they are"
        await people[2].peer.close()
        people[2].loud = False
        await wait(lambda: 2 not in seen(), "who left is seen no more")
    finally:
        talking.cancel()
    for slot, viewer in watcher.slots.items():
        for kind in ("audio", "video")[0 if slot < VOICES else 1 :]:
            packets = viewer.of(kind)
            assert len({packet.ssrc for packet in packets}) == 1, "one stream, whoever speaks"
            numbers = [packet.sequence for packet in packets]
            assert len(set(numbers)) == len(numbers)
            assert max(numbers) - min(numbers) < len(numbers) + 40, "no hole where the speaker changed"
            assert not [packet for packet in packets if int(packet.payload[-9:-7]) == 0], "never oneself"
            if kind == "video":
                for earlier, later in pairwise(packets):
                    changed = earlier.payload[-9:-7] != later.payload[-9:-7]
                    assert not changed or later.payload.startswith(KEYFRAME), "a change begins with a whole picture"
    told = []
    while not topic.queue.empty():
        told.append(topic.queue.get_nowait())
    slots = [one for one in told if one["type"] == "slot"]
    assert {one["participant"] for one in slots} == {watcher.name}
    assert {one["slot"] for one in slots} == set(range(PICTURES))

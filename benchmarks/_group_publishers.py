"""Everybody's camera and microphone in the group room, all in one process: one publication each, without end.

Argument: the SRTP profile. Lines (see ``_media_lines``), each with the ``person`` it is about: ``offer`` → {"sdp"};
``accept`` {"sdp"} → {}; ``connect`` → {}, and it sends. About all of them: ``talk`` {"seconds"} → {}, and the script
begins; ``finish`` {"path"} → what was sent and asked for.

Whose packet one is can be told by its length alone, which encryption leaves as it is: everybody's packets of sound
have a length of their own, and so has the first packet of everybody's key frames.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import random
import struct
import sys
import time
from pathlib import Path
from typing import Any

import aioice.ice
import numpy as np
from _group_script import FRAMES_A_SECOND, QUIET_DBOV, Turn, level_dbov, pictures, turns
from _media_lines import Answer, serve_beside
from _media_peer import STUN_SECONDS, Line, Peer
from _report import percentile

from telemed.media.relay.rtp import KeyframeRequest, Nack, SenderReport, parse_rtcp, sender_report, source_description

TICK_SECONDS = 0.004
SOUND_TICKS = 5  # 20 ms, RFC 7587 section 4.1
FRAME_TICKS = 1 / (FRAMES_A_SECOND * TICK_SECONDS)
REPORT_TICKS, CHECK_TICKS = round(1 / TICK_SECONDS), round(STUN_SECONDS / TICK_SECONDS)
KEYFRAME_FRAMES = 10 * FRAMES_A_SECOND  # at least so often, also when nobody asks
SOUND_BYTES = 60  # of the first person's Opus payload; each next one's is longer: 34 kbit/s on average
SOUND_STEP_BYTES = 2
PART_BYTES = 1_000  # of a frame in one packet
WHOLE_BYTES = 1_100  # the first packet of the first person's key frames; each next one's is a byte longer
SOUND_STEP, VIDEO_STEP = 960, 90_000 // FRAMES_A_SECOND  # of the RTP clocks: 48 kHz (RFC 7587), 90 kHz (RFC 7741)
LEVEL = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"  # RFC 6464 section 4
DATAGRAM_BYTES = 2_048
NTP_UNIX_SECONDS = 2_208_988_800  # RFC 5905 section 6: 1970 in seconds of NTP's first era
_RTP = struct.Struct("!BBHLL")  # RFC 3550 section 5.1


class GroupPeer(Peer):
    """A peer that also says under which number it tells how loud its sound is, and reads what it is told."""

    level_id = 0

    async def accept(self, answer: str) -> None:
        """See ``Peer``."""
        found = [line for line in answer.splitlines() if line.startswith("a=extmap:") and line.endswith(LEVEL)]
        self.level_id = int(found[0].removeprefix("a=extmap:").partition(" ")[0])
        await super().accept(answer)

    @property
    def incoming(self) -> Any:
        """The SRTP session of what comes; once connected."""
        return self._peer.getTransceivers()[0].receiver.transport._rx_srtp


class Outgoing:
    """One kind of one person: RTP numbers, and what a sender report says."""

    def __init__(self, payload_type: int, ssrc: int) -> None:
        self.payload_type, self.ssrc = payload_type, ssrc
        self.sequence, self.timestamp = random.randrange(30_000), random.getrandbits(31)
        self.packets = self.octets = 0

    def packet(self, payload: bytes, *, marker: bool = False, extension: bytes = b"") -> bytes:
        """The next one."""
        first, second = 0x90 if extension else 0x80, self.payload_type | (0x80 if marker else 0)
        header = _RTP.pack(first, second, self.sequence, self.timestamp, self.ssrc)
        self.sequence = (self.sequence + 1) & 0xFFFF
        self.packets += 1
        self.octets += len(payload)
        return header + extension + payload

    def report(self) -> bytes:
        """A sender report of now."""
        wall = time.time()
        ntp = (int(wall) + NTP_UNIX_SECONDS) << 32 | int(wall % 1 * 2**32)
        told = SenderReport(self.ssrc, ntp, self.timestamp, max(1, self.packets), self.octets & 0xFFFFFFFF)
        return sender_report(told) + source_description(self.ssrc, "benchmark")


class Person:
    """Sends what is due at each tick, answers what comes."""

    def __init__(self, number: int, line: Line, peer: GroupPeer, frames: list[bytes], first_tick: int) -> None:
        self.number, self._line, self._incoming = number, line, peer.incoming
        self._level_id, self._frames = peer.level_id, frames
        self._sound = Outgoing(line.types["audio"], line.ssrcs["audio"])
        self._video = Outgoing(line.types["video"], line.ssrcs["video"])
        self._payload = random.randbytes(SOUND_BYTES + SOUND_STEP_BYTES * number)
        self._first_tick = first_tick
        self._frame, self._at = 0, random.randrange(1, len(frames))
        self._since_whole = random.randrange(KEYFRAME_FRAMES)  # so that not all send one at a time
        self._whole_wanted = True
        self.turns: list[tuple[int, Turn]] = []  # that are to come, and their places in the script
        self._spoken = -1  # packets of the turn of now
        self.begun: list[tuple[int, int]] = []  # place of a turn, time in ns just before its first packet
        self.asked_s: list[float] = []  # when key frames were asked for
        self.nacks = self.wholes = 0
        asyncio.get_running_loop().add_reader(line.socket, self._hear)

    @property
    def sent(self) -> tuple[int, int]:
        """Packets of sound and of the picture."""
        return self._sound.packets, self._video.packets

    def step(self, tick: int, talked_s: float | None) -> None:
        """Send what is due; ``talked_s`` since the script began."""
        if (tick - self.number) % SOUND_TICKS == 0:
            self._speak(talked_s)
        if tick - self._first_tick >= self._frame * FRAME_TICKS:
            self._frame += 1
            self._show()
        if (tick - 7 * self.number) % REPORT_TICKS == 0:
            for one in (self._sound, self._video):
                self._send(self._line.keys.protect_rtcp(one.report()))
        if (tick - 7 * self.number) % CHECK_TICKS == 0:
            self._send(self._line.check())

    def _speak(self, talked_s: float | None) -> None:
        if talked_s is not None and self.turns:
            place, turn = self.turns[0]
            if talked_s >= turn.end_s:
                self.turns.pop(0)
                self._spoken = -1
            elif talked_s >= turn.begin_s:
                self._spoken += 1
                if not self._spoken:
                    self.begun.append((place, time.time_ns()))
        level = QUIET_DBOV if self._spoken < 0 else level_dbov(self._spoken)
        # RFC 8285 section 4.2 and RFC 6464 section 3: one element of one byte, the first bit for "it is voice".
        voice = 0x80 if self._spoken >= 0 else 0
        extension = bytes((0xBE, 0xDE, 0, 1, self._level_id << 4, voice | level, 0, 0))
        self._send(self._line.keys.protect(self._sound.packet(self._payload, extension=extension)))
        self._sound.timestamp = (self._sound.timestamp + SOUND_STEP) & 0xFFFFFFFF

    def _show(self) -> None:
        """The next frame: a whole one when it was asked for, within a frame, or is due."""
        whole = self._whole_wanted or self._since_whole >= KEYFRAME_FRAMES
        if whole:
            self._whole_wanted, self._since_whole = False, 0
            self.wholes += 1
        else:
            self._at = max(1, (self._at + 1) % len(self._frames))
        self._since_whole += 1
        frame = self._frames[0 if whole else self._at]
        # Behind a descriptor of four bytes with a 15-bit picture id, as browsers send it (RFC 7741 section 4.2).
        cut = WHOLE_BYTES + self.number - 4 if whole else PART_BYTES - 4
        parts = [frame[:cut], *(frame[at : at + PART_BYTES - 4] for at in range(cut, len(frame), PART_BYTES - 4))]
        for place, part in enumerate(parts):
            head = struct.pack("!BBH", 0x90 if place == 0 else 0x80, 0x80, 0x8000 | self._frame & 0x7FFF)
            packet = self._video.packet(head + part, marker=place == len(parts) - 1)
            self._send(self._line.keys.protect(packet))
        self._video.timestamp = (self._video.timestamp + VIDEO_STEP) & 0xFFFFFFFF

    def _hear(self) -> None:
        """STUN is answered, a wish for a key frame fulfilled; what is missed is counted and not sent again."""
        with contextlib.suppress(BlockingIOError, ConnectionRefusedError):
            while True:
                data = self._line.socket.recv(DATAGRAM_BYTES)
                if data[0] < 4:  # RFC 7983: STUN
                    if (response := self._line.answer(data)) is not None:
                        self._send(response)
                elif 127 < data[0] < 192:
                    for message in parse_rtcp(self._incoming.unprotect_rtcp(data)):
                        if isinstance(message, KeyframeRequest):
                            self._whole_wanted = True
                            self.asked_s.append(time.monotonic())
                        elif isinstance(message, Nack):
                            self.nacks += len(message.sequences)

    def _send(self, data: bytes) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionRefusedError):  # full; the relay has ended
            self._line.socket.send(data)


class Publishers:
    """All of them."""

    def __init__(self, profile: str) -> None:
        self._profile = profile
        self._frames = pictures()
        self._connecting: dict[int, GroupPeer] = {}
        self._people: dict[int, Person] = {}
        self._script: list[Turn] = []
        self._begun_s: float | None = None
        self._tick = 0
        self._late_s: list[float] = []
        self._before: dict[int, tuple[int, int]] = {}

    async def handle(self, question: Answer) -> Answer:
        """Do what a line says."""
        match question["op"]:
            case "offer":
                peer = self._connecting[question["person"]] = GroupPeer("sendonly", self._profile)
                return {"sdp": await peer.offer()}
            case "accept":
                await self._connecting[question["person"]].accept(question["sdp"])
                return {}
            case "connect":
                number, peer = question["person"], self._connecting[question["person"]]
                self._people[number] = Person(number, await peer.connect(), peer, self._frames, self._tick)
                return {}
            case "talk":
                self._talk(question["seconds"])
                return {}
            case "finish":
                return self._finish(Path(question["path"]))
        raise ValueError(question["op"])

    async def run(self) -> None:
        """Tick for ever."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        for self._tick in itertools.count():
            await asyncio.sleep(max(0.0, began + self._tick * TICK_SECONDS - loop.time()))
            now = loop.time()
            talked_s = None if self._begun_s is None else now - self._begun_s
            if talked_s is not None:
                self._late_s.append(now - began - self._tick * TICK_SECONDS)
            for person in list(self._people.values()):
                person.step(self._tick, talked_s)

    def _talk(self, seconds: float) -> None:
        self._script = turns(seconds)
        for place, turn in enumerate(self._script):
            self._people[turn.person].turns.append((place, turn))
        for person in self._people.values():
            person.asked_s, person.nacks, person.wholes = [], 0, 0
        self._before = {number: person.sent for number, person in self._people.items()}
        self._begun_s = asyncio.get_running_loop().time()
        gc.collect()
        gc.freeze()

    def _finish(self, path: Path) -> Answer:
        people = self._people.values()
        begun = sorted(place for person in people for place in person.begun)
        script = [(time_ns, self._script[place]) for place, time_ns in begun]
        np.savez(
            path, people=np.array([turn.person for _, turn in script]), begin_ns=np.array([at for at, _ in script]),
            lasts_ns=np.array([round((turn.end_s - turn.begin_s) * 1e9) for _, turn in script]),
            others=np.array([turn.others for _, turn in script]),
        )
        sent = [[now - then for now, then in zip(one.sent, self._before[one.number], strict=True)] for one in people]
        return {
            "late_p99_ms": percentile(self._late_s, 0.99) * 1e3, "asked_s": [person.asked_s for person in people],
            "sound": sum(one[0] for one in sent), "video": sum(one[1] for one in sent),
            "nacks": sum(person.nacks for person in people), "wholes": sum(person.wholes for person in people),
        }


async def main(profile: str) -> None:
    """Serve the lines and send."""
    aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: ["127.0.0.1"]
    publishers = Publishers(profile)
    await serve_beside(publishers.handle, publishers.run())


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))

"""What a publisher is told of what it sends: when packets came, what is missing, how much it may send, and when a whole
picture is needed. Runs in the event loop's one task."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from typing import Protocol

from telemed.media.backend import Counts
from telemed.media.relay import fan, rtp
from telemed.media.relay.congestion import Uplink
from telemed.media.relay.extensions import ABS_SEND_TIME_BITS, ABS_SEND_TIME_HZ, abs_send_time, find_extension
from telemed.media.relay.feedback import Arrivals
from telemed.media.relay.source import SILENT_SECONDS, Received, Source
from telemed.media.terms import Stream

KEYFRAME_EVERY_SECONDS = 1.0  # requests to one publisher; a keyframe of 720p is 30 packets
KEYFRAMES_TOGETHER = 3  # in as many seconds, but at once, for people who come together: nobody waits for another's
VIDEO_BITS_A_SECOND = 1_500_000  # what a publisher is told it may send: 720p at 30 a second
BLOCKS = 31  # reports in one packet (RFC 3550 section 6.4.2: five bits count them)
TIMESTAMP_BITS = 32  # of RTP (RFC 3550 section 5.1)


class Way(fan.Way, Protocol):
    """The way to a peer: plain packets in, False when one was not sent."""

    def send_rtcp(self, packet: bytes) -> bool:
        """Send one compound RTCP packet."""


class Upstream:
    """Feedback to one publisher. ``pictures`` are the sources of its picture, best first."""

    def __init__(self, way: Way, streams: tuple[Stream, ...], pictures: list[Source], counts: Counts) -> None:
        self.video_bits_s = VIDEO_BITS_A_SECOND
        self._way: Way | None = way
        self._counts = counts
        self._pictures = pictures
        self._ssrc = secrets.randbits(32) | 1  # under which we report; never 0
        self._keyframes_s = deque([float("-inf")] * KEYFRAMES_TOGETHER, KEYFRAMES_TOGETHER)
        self._keyframe_later: asyncio.TimerHandle | None = None
        self.awaited: set[Source] = set()  # pictures that were asked for a whole one, of which none has come since
        self._numbers = {stream.kind: stream.extensions["twcc"] for stream in streams if stream.twcc}
        self._arrivals = Arrivals() if self._numbers else None
        self._told = 0  # an SSRC of the publisher's
        # A browser with transport-wide feedback finds its rate by itself, below the bound; others obey the bound alone.
        video = next((stream for stream in streams if stream.kind == "video" and not stream.twcc), None)
        self._stamp = None if video is None else video.extensions.get("abs_send_time")
        self._uplink: Uplink | None = None
        if video is not None and self._stamp is not None:
            self._uplink = Uplink(self.video_bits_s, ABS_SEND_TIME_HZ, ABS_SEND_TIME_BITS)
        elif video is not None:
            self._uplink = Uplink(self.video_bits_s, video.clock_hz, TIMESTAMP_BITS)

    def end(self) -> None:
        """Say nothing more."""
        self._way = None
        if self._keyframe_later is not None:
            self._keyframe_later.cancel()

    def note_arrival(self, kind: str, data: bytes, now_s: float) -> None:
        """A packet came, whatever becomes of it. Raises ``PacketMalformed``."""
        number = self._numbers.get(kind)
        if self._arrivals is None or number is None:
            return
        # libwebrtc takes a report for one of its own streams alone, whichever of them.
        self._told = int.from_bytes(data[8:12], "big")
        value = find_extension(data, number)
        if value is not None and len(value) == 2:
            self._arrivals.note(int.from_bytes(value, "big"), now_s)

    def note_picture(self, source: Source, data: bytes, received: Received, skipped: int, now_s: float) -> None:
        """A packet of the picture was taken, ``skipped`` numbers after the one before. Raises ``PacketMalformed``."""
        if self._uplink is None:
            return
        if self._stamp is not None:
            value = find_extension(data, self._stamp)
            if value is None or len(value) != 3:
                return
            stamp = abs_send_time(value)
        elif source is self._pictures[0] and received.packet is not None:
            stamp = received.packet.timestamp
        else:
            return
        self._uplink.note(now_s, stamp, len(data), -1 if received.late else skipped)

    def reports(self, sources: list[Source], now_s: float) -> None:
        """Reception reports, and how much the publisher may send, which a browser needs to reach its rate."""
        blocks = [block for source in sources if (block := source.block(now_s)) is not None]
        if not blocks or self._way is None:
            return
        compound = rtp.receiver_report(self._ssrc, blocks[:BLOCKS])
        pictures = self._ssrcs()
        if pictures:
            bits_s = self.video_bits_s
            if self._uplink is not None:
                self._uplink.cap_bits_s = bits_s
                bits_s = self._uplink.bits_s(now_s)
            compound += rtp.bitrate_bound(self._ssrc, bits_s, pictures)
        self._way.send_rtcp(compound)

    def arrivals(self, now_s: float) -> None:
        """When each packet came, for a publisher that works its rate out by itself."""
        if self._way is not None and self._arrivals is not None:
            for report in self._arrivals.report(self._ssrc, self._told, now_s):
                self._way.send_rtcp(report)

    def ask(self, source: Source, sequences: tuple[int, ...]) -> None:
        """Have these packets sent again."""
        if source.ssrc is not None and sequences:
            self._counts.nacks_sent += len(sequences)
            self._say(rtp.nack(self._ssrc, source.ssrc, list(sequences)))

    def note_keyframe(self, source: Source) -> None:
        """A whole picture begins. Whoever asked for one since the last request has it, and it is not asked for again.
        """
        self.awaited.discard(source)
        if not self.awaited and self._keyframe_later is not None:
            self._keyframe_later.cancel()
            self._keyframe_later = None

    def ask_keyframe(self, *, anew: bool = False) -> None:
        """Ask for a whole picture: now, or when ``KEYFRAME_EVERY_SECONDS`` have passed since the last time.

        Somebody who sees this source ``anew`` waits only when ``KEYFRAMES_TOGETHER`` have been asked for lately, or
        while one is on its way, which is theirs as well.
        """
        if self._way is None or not self._ssrcs():
            return
        loop = asyncio.get_running_loop()
        wait = self._keyframes_s[-1] + KEYFRAME_EVERY_SECONDS - loop.time()
        if anew and not self.awaited:
            wait = min(wait, self._keyframes_s[0] + KEYFRAMES_TOGETHER * KEYFRAME_EVERY_SECONDS - loop.time())
        if wait <= 0:
            self._send_keyframe_request()
        elif self._keyframe_later is None:
            self._keyframe_later = loop.call_later(wait, self._send_keyframe_request)

    def _ssrcs(self) -> list[int]:
        return [source.ssrc for source in self._pictures if source.ssrc is not None]

    def _send_keyframe_request(self) -> None:
        if self._keyframe_later is not None:
            self._keyframe_later.cancel()
            self._keyframe_later = None
        now_s = asyncio.get_running_loop().time()
        self._keyframes_s.append(now_s)
        # A layer that is silent, as a browser's large one on a poor line, answers nothing: nobody waits for it.
        self.awaited = {one for one in self._pictures if now_s - one.heard_s <= SILENT_SECONDS}
        ssrcs = self._ssrcs()
        if ssrcs:
            self._counts.keyframes_asked += 1
            self._say(b"".join(rtp.picture_loss(self._ssrc, ssrc) for ssrc in ssrcs))
        if self.awaited:  # the request may be lost, or its answer, which not every viewer notices
            self._keyframe_later = asyncio.get_running_loop().call_later(
                KEYFRAME_EVERY_SECONDS, self._send_keyframe_request
            )

    def _say(self, message: bytes) -> None:
        if self._way is not None:
            self._way.send_rtcp(rtp.receiver_report(self._ssrc, []) + message)

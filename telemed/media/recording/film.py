"""One recording while it is made: records of a tap in, whole clusters out. Pure; the time comes with the records."""

from __future__ import annotations

from dataclasses import dataclass

from telemed.media.recording.frames import Ordered, Picture, Pictures, opus_ms
from telemed.media.recording.tapped import Packet, Report
from telemed.media.recording.timeline import Line, Span
from telemed.media.recording.webm import AUDIO_TRACK, VIDEO_TRACK, Block, Size, cluster

CLUSTER_MS = 500  # with what waits to be in order and on its way, what a crash costs stays below a second
CLUSTER_BYTES = 262_144  # a cluster ends there: half a second of 4 Mbit/s
KEYFRAME_EVERY_US = 10_000_000  # a whole picture at least: where a player may begin
KEYFRAME_AGAIN_US = 1_000_000  # between requests for one that does not come
HZ = {"opus": 48_000, "VP8": 90_000}  # RFC 7587 section 4.1, RFC 7741 section 4.1
LINES = 8  # kinds and layers of one publication


@dataclass(frozen=True, slots=True)
class Part:
    """One whole cluster: it begins at ``first_ms`` and sounds or shows until ``until_ms``; ``key`` when its picture
    needs no other before it."""

    first_ms: int
    until_ms: int
    key: bool
    data: bytes


class Film:
    """``size`` is None before the first picture; ``sound`` once there was any.

    ``lost`` counts packets that never came, ``unshown`` those of pictures in a format that is not recorded (H.264).
    """

    def __init__(self) -> None:
        self.span = Span()
        self.size: Size | None = None
        self.sound = False
        self.lost = self.unshown = 0
        self.until_ms = 0
        self._lines: dict[tuple[str, int], Line] = {}
        self._ordered: dict[tuple[str, int], Ordered] = {}
        self._pictures = Pictures()
        self._layer: int | None = None  # of the picture
        self._last_ms = {VIDEO_TRACK: 0, AUDIO_TRACK: 0}  # time does not run backwards in a track
        self._blocks: list[Block] = []
        self._bytes = 0
        self._opened_us = 0
        self._key_us: int | None = None  # when the last whole picture came
        self._asked_us = 0
        self._whole: list[Part] = []

    def feed(self, record: Packet | Report) -> list[Part]:
        """Take a record; the clusters that are whole now."""
        line = (record.codec, record.layer)
        if isinstance(record, Report):
            if (known := self._line(*line)) is not None:
                known.report(record.ntp, record.timestamp)
            return []
        self.span.begin(record.at_us)
        if record.codec not in HZ:
            self.unshown += 1
            return []
        ordered = self._ordered.get(line)
        if ordered is None:
            if self._line(*line) is None:
                return []
            ordered = self._ordered[line] = Ordered()
        for lost, packet in ordered.take(record):
            self._next(lost, packet)
        return self._done()

    def tick(self, now_us: int) -> list[Part]:
        """Nothing may have come: what waits too long for others goes on, and a cluster does not stay open."""
        for ordered in list(self._ordered.values()):
            for lost, packet in ordered.due(now_us):
                self._next(lost, packet)
        if now_us - self._opened_us >= CLUSTER_MS * 1000:
            self._close()
        return self._done()

    def finish(self) -> list[Part]:
        """The rest."""
        self._close()
        return self._done()

    def break_off(self) -> None:
        """A cluster was not kept: no picture that needs one of it is of use."""
        self._pictures.break_off()

    def wants_keyframe(self, now_us: int) -> bool:
        """Whether the publisher is to be asked for a whole picture now; says so once a ``KEYFRAME_AGAIN_US``."""
        if self._layer is None or now_us - self._asked_us < KEYFRAME_AGAIN_US:
            return False
        if self._key_us is not None and not self._pictures.waits and now_us - self._key_us < KEYFRAME_EVERY_US:
            return False
        self._asked_us = now_us
        return True

    def _line(self, codec: str, layer: int) -> Line | None:
        known = self._lines.get((codec, layer))
        if known is None and codec in HZ and len(self._lines) < LINES:
            known = self._lines[codec, layer] = Line(self.span, HZ[codec])
        return known

    def _done(self) -> list[Part]:
        whole = self._whole
        if whole:
            self._whole = []
        return whole

    def _next(self, lost: int, packet: Packet) -> None:
        self.lost += lost
        line = self._lines[packet.codec, packet.layer]
        if packet.codec == "opus":
            us = line.place(packet.timestamp, packet.at_us)
            self.sound = True
            self._add(AUDIO_TRACK, us, True, packet.payload, packet.at_us, opus_ms(packet.payload))
            return
        if packet.layer != self._layer:
            self._layer = packet.layer
            self._pictures.break_off()
            for other in [line for line in self._ordered if line[0] == packet.codec and line[1] != packet.layer]:
                del self._ordered[other]  # what it still held is of no use
        for picture in self._pictures.take(lost, packet):
            self._show(line, picture)

    def _show(self, line: Line, picture: Picture) -> None:
        if picture.size is not None:
            self.size = self.size or picture.size
            self._key_us = picture.at_us
            self._close()  # a player begins with a cluster, so a whole picture begins one
        us = line.place(picture.timestamp, picture.at_us)
        self._add(VIDEO_TRACK, us, picture.size is not None, picture.data, picture.at_us, 0)

    def _add(self, track: int, us: float, key: bool, data: bytes, at_us: int, lasts_ms: float) -> None:
        ms = max(round(us / 1000), self._last_ms[track])
        self._last_ms[track] = ms
        if self._blocks and (
            abs(ms - self._blocks[0].ms) >= CLUSTER_MS or self._bytes + len(data) > CLUSTER_BYTES
        ):
            self._close()
        if not self._blocks:
            self._opened_us = at_us
        self._blocks.append(Block(track, ms, key, data))
        self._bytes += len(data)
        self.until_ms = max(self.until_ms, ms + round(lasts_ms))

    def _close(self) -> None:
        if not self._blocks:
            return
        blocks = sorted(self._blocks, key=lambda block: block.ms)  # stable: each track keeps its order
        self._blocks, self._bytes = [], 0
        key = next((block.key for block in blocks if block.track == VIDEO_TRACK), False)
        self._whole.append(Part(blocks[0].ms, max(self.until_ms, blocks[-1].ms), key, cluster(blocks)))

"""What a recording holds, and what its station sent."""

from __future__ import annotations

import io
from typing import Any

import av

from telemed.media.recording.frames import Pictures
from telemed.media.recording.tapped import Packet


def frames_of(station: Any) -> list[bytes]:
    """The pictures that the station's packets make up."""
    pictures, wanted, found = Pictures(), station.payload_type("video"), []
    for number, packet in enumerate(one for one in station.sent if one.payload_type == wanted):
        seen = Packet("VP8", 0, packet.marker, number, packet.timestamp, 0, packet.payload)
        found += [picture.data for picture in pictures.take(0, seen)]
    return found


def demuxed(data: bytes) -> dict[str, list[bytes]]:
    found: dict[str, list[bytes]] = {"video": [], "audio": []}
    with av.open(io.BytesIO(data)) as container:
        for packet in container.demux():
            if packet.size:
                found[packet.stream.type].append(bytes(packet))
    return found


def follows(short: list[bytes], long: list[bytes]) -> bool:
    """Whether ``short`` stands in ``long`` without a hole."""
    return any(long[at : at + len(short)] == short for at in range(len(long) - len(short) + 1))


def decoded(data: bytes) -> tuple[int, int]:
    """How many pictures decode, and how long the file says it is, in milliseconds."""
    with av.open(io.BytesIO(data)) as container:
        assert container.duration is not None
        return sum(1 for _ in container.decode(video=0)), round(container.duration / 1000)

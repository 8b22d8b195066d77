"""From what the publisher sent and the viewers received to figures. Pure.

A viewer's packet is recognised by its place in the stream: a server may move sequence numbers and timestamps by a
constant for each viewer, and what is inside is encrypted; but the row of payload lengths is the publisher's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

PROFILE_TAG_BYTES = {"cm": 10, "gcm": 16}  # RFC 3711 section 5.2, RFC 7714 section 14.2
LATEST_S = 5.0  # a packet that is later than this is not looked for; the material repeats after ten
MATCHED = 0.99  # of the lengths must agree; anything else is another stream
COMPARED = 400  # packets, to find the place
SAMPLED_VIEWERS = 10  # at least, or all of them


@dataclass(frozen=True)
class Flow:
    """Packets of one kind in order of sequence numbers: unrolled number, payload length, time in ns."""

    number: np.ndarray
    payload: np.ndarray
    time_ns: np.ndarray


@dataclass(frozen=True)
class Figures:
    """Of one run, between two moments of the publisher's sending. ``shares`` are each viewer's share of what was
    published; ``sent_packets`` is what arrived in all; ``ways_ms`` are of every packet at every viewer."""

    shares: np.ndarray
    sent_packets: int
    ways_ms: np.ndarray


def read(published: Path, received: Path, profile: str, begin_ns: int, end_ns: int) -> Figures:
    """The figures of what was published in [begin, end). Raises ``ValueError`` if a viewer got another stream."""
    with np.load(published) as file:
        sent = [_sent(file, kind) for kind in (False, True)]
    with np.load(received) as file:
        records, types = file["records"], file["types"]
    if types.shape[0] < 1:
        raise ValueError("no viewer")
    order = np.argsort(records["viewer"], kind="stable")
    records = records[order]
    bounds = np.searchsorted(records["viewer"], np.arange(len(types) + 1))
    shares, ways, count = [], [], 0
    for viewer, (audio, video) in enumerate(types):
        mine = records[bounds[viewer] : bounds[viewer + 1]]
        wanted = came = 0
        for kind, flow in zip((audio, video), sent, strict=True):
            chosen = (flow.time_ns >= begin_ns) & (flow.time_ns < end_ns)
            got = _received(mine, int(kind), PROFILE_TAG_BYTES[profile])
            way = _ways(flow, got)[chosen]
            wanted += len(way)
            came += int(np.count_nonzero(~np.isnan(way)))
            ways.append(way[~np.isnan(way)])
        shares.append(came / wanted)
        count += came
    return Figures(np.array(shares), count, np.concatenate(ways) / 1e6)


def packets_between(received: Path, begin_ns: int, end_ns: int) -> tuple[int, float]:
    """Media packets that viewers got in the interval and the pictures a second they make, whatever stream it is."""
    with np.load(received) as file:
        records, types = file["records"], file["types"]
    at = records["time"][:, 0] * 1_000_000_000 + records["time"][:, 1]
    records = records[(at >= begin_ns) & (at < end_ns)]
    count = pictures = 0
    for viewer, (audio, video) in enumerate(types):
        head = records["head"][records["viewer"] == viewer]
        type_ = head[:, 1] & 0x7F
        count += int(np.count_nonzero((type_ == audio) | (type_ == video)))
        pictures += int(np.count_nonzero(head[:, 1] == (video | 0x80)))  # the marker ends a picture
    return count, pictures / len(types) / (end_ns - begin_ns) * 1e9


def _sent(file: np.lib.npyio.NpzFile, video: bool) -> Flow:
    chosen = file["video"] == video
    return Flow(_unrolled(file["sequence"][chosen]), file["payload"][chosen], file["time_ns"][chosen])


def _received(records: np.ndarray, type_: int, tag_bytes: int) -> Flow:
    """The packets of one payload type; the first copy of each."""
    head = records["head"].astype(np.int64)
    chosen = (head[:, 0] >> 6 == 2) & (head[:, 1] & 0x7F == type_)
    head, records = head[chosen], records[chosen]
    if not len(records):
        raise ValueError("a viewer got nothing of a kind")
    extended = head[:, 0] >> 4 & 1
    overhead = 12 + 4 * (head[:, 0] & 15) + extended * (4 + 4 * (head[:, 14] << 8 | head[:, 15])) + tag_bytes
    payload = records["length"].astype(np.int64) - overhead
    number, first = np.unique(_unrolled(head[:, 2] << 8 | head[:, 3]), return_index=True)
    time_ns = records["time"][:, 0] * 1_000_000_000 + records["time"][:, 1]
    return Flow(number, payload[first], time_ns[first])


def _unrolled(sequence: np.ndarray) -> np.ndarray:
    """Sequence numbers without their wrap at 65,536 (RFC 3550 appendix A.1)."""
    steps = (np.diff(sequence) + 0x8000 & 0xFFFF) - 0x8000
    return np.concatenate([sequence[:1], sequence[0] + np.cumsum(steps)])


def _ways(sent: Flow, got: Flow) -> np.ndarray:
    """For each packet sent how long it was on its way in ns, NaN if it never came."""
    middle = min(len(got.number) // 2, len(got.number) - 1)
    sample = slice(middle, middle + COMPARED)
    number, payload, at = got.number[sample], got.payload[sample], got.time_ns[sample][0]
    near = np.flatnonzero((sent.time_ns <= at) & (sent.time_ns > at - LATEST_S * 1e9))
    best, place = 0.0, 0
    for candidate in near:
        shift = int(sent.number[candidate]) - int(number[0])
        where = number + shift - sent.number[0]
        inside = (where >= 0) & (where < len(sent.number))
        agreed = float(np.mean(sent.payload[where[inside]] == payload[inside])) if inside.any() else 0.0
        if agreed > best:
            best, place = agreed, shift
    if best < MATCHED:
        raise ValueError(f"a viewer's stream is not the publisher's: {best:.0%} of the lengths agree")
    where = got.number + place - sent.number[0]
    inside = (where >= 0) & (where < len(sent.number))
    way = np.full(len(sent.number), np.nan)
    way[where[inside]] = got.time_ns[inside] - sent.time_ns[where[inside]]
    return way

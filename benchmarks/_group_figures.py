"""From what the group room's people sent and received to figures. Pure.

A slot is one stream, whoever it shows: its sequence numbers go on by one where the speaker changes, so a hole is a
packet that was lost. Who it shows is told by the lengths of its packets (see ``_group_publishers``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from _group_publishers import SOUND_BYTES, SOUND_STEP_BYTES, WHOLE_BYTES
from _group_script import PEOPLE
from _media_figures import PROFILE_TAG_BYTES

from telemed.media.relay.speakers import PICTURES, VOICES

HEADER_BYTES = 12  # of a packet to a viewer: it has neither CSRCs nor extensions
NOBODY = -1


@dataclass(frozen=True)
class Flow:
    """Packets of one kind in one slot in the order of their numbers: time in ns, and whose they are where that is
    told; ``lost`` is how many numbers between the first and the last never came."""

    time_ns: np.ndarray
    whose: np.ndarray
    lost: int

    @property
    def expected(self) -> int:
        """How many there should be."""
        return len(self.time_ns) + self.lost


@dataclass
class Figures:
    """Of the measured time. Shares are 0 to 1 and by slot; ways are in ms, of every watcher of every turn that was not
    in a voice slot already when it began."""

    sound_lost: list[float] = field(default_factory=list)
    sound_packets: int = 0
    sound_missing: int = 0
    sound_a_second: list[float] = field(default_factory=list)
    sound_holes_ms: list[float] = field(default_factory=list)  # the longest without a packet, by slot
    video_lost: list[float] = field(default_factory=list)
    video_packets: int = 0
    changes: int = 0
    voice_ms: list[float] = field(default_factory=list)
    picture_ms: list[float] = field(default_factory=list)
    unheard: int = 0
    turns: int = 0


def read(published: Path, received: Path, profile: str, begin_ns: int, end_ns: int) -> Figures:
    """The figures of what arrived in [begin, end)."""
    with np.load(received) as file:
        records, types = file["records"], file["types"]
    time_ns = records["time"][:, 0] * 1_000_000_000 + records["time"][:, 1]
    inside = (time_ns >= begin_ns) & (time_ns < end_ns)
    records, time_ns = records[inside], time_ns[inside]
    order = np.argsort(records["viewer"], kind="stable")
    records, time_ns = records[order], time_ns[order]
    bounds = np.searchsorted(records["viewer"], np.arange(len(types) + 1))
    tag, figures = PROFILE_TAG_BYTES[profile], Figures()
    sound: dict[tuple[int, int], Flow] = {}
    video: dict[tuple[int, int], Flow] = {}
    for viewer, (audio_type, video_type) in enumerate(types):
        place = divmod(viewer, PICTURES)
        mine = slice(bounds[viewer], bounds[viewer + 1])
        if place[1] < VOICES:
            flow = sound[place] = _flow(records[mine], time_ns[mine], int(audio_type), tag, sound=True)
            _note_sound(figures, flow, (end_ns - begin_ns) / 1e9)
        flow = video[place] = _flow(records[mine], time_ns[mine], int(video_type), tag, sound=False)
        figures.video_lost.append(flow.lost / max(1, flow.expected))
        figures.video_packets += len(flow.time_ns)
    with np.load(published) as file:
        turns = np.stack([file[name] for name in ("people", "begin_ns", "lasts_ns", "others")], axis=1)
    for person, turn_ns, lasts_ns, others in turns:
        if others < VOICES and turn_ns + lasts_ns < end_ns:  # else it is right that not everybody hears it
            figures.turns += 1
            for watcher in range(PEOPLE):
                if watcher != person:
                    _note_turn(figures, sound, video, watcher, int(person), int(turn_ns), int(turn_ns + lasts_ns))
    return figures


def _flow(records: np.ndarray, time_ns: np.ndarray, type_: int, tag: int, *, sound: bool) -> Flow:
    head = records["head"].astype(np.int64)
    chosen = (head[:, 0] >> 6 == 2) & (head[:, 1] & 0x7F == type_)
    head, length, time_ns = head[chosen], records["length"][chosen].astype(np.int64), time_ns[chosen]
    sequence = head[:, 2] << 8 | head[:, 3]
    steps = (np.diff(sequence) + 0x8000 & 0xFFFF) - 0x8000  # RFC 3550 appendix A.1
    number = np.concatenate([sequence[:1], sequence[:1] + np.cumsum(steps)])
    number, first = np.unique(number, return_index=True)
    payload = (length - HEADER_BYTES - tag)[first]
    least, step = (SOUND_BYTES, SOUND_STEP_BYTES) if sound else (WHOLE_BYTES, 1)
    whose = (payload - least) // step
    whose[(whose < 0) | (whose >= PEOPLE)] = NOBODY
    lost = int(number[-1] - number[0]) + 1 - len(number) if len(number) else 0
    return Flow(time_ns[first], whose, lost)


def _note_sound(figures: Figures, flow: Flow, seconds: float) -> None:
    figures.sound_lost.append(flow.lost / max(1, flow.expected))
    figures.sound_packets += len(flow.time_ns)
    figures.sound_missing += flow.lost
    figures.sound_a_second.append(len(flow.time_ns) / seconds)
    figures.sound_holes_ms.append(float(np.diff(flow.time_ns).max()) / 1e6)
    figures.changes += int(np.count_nonzero(np.diff(flow.whose)))


def _note_turn(
    figures: Figures, sound: dict[tuple[int, int], Flow], video: dict[tuple[int, int], Flow], watcher: int,
    person: int, turn_ns: int, end_ns: int,
) -> None:
    """When this watcher first hears and sees the person, who begins to speak."""
    heard: list[tuple[int, int]] = []
    for slot in range(VOICES):
        flow = sound[watcher, slot]
        start, end = np.searchsorted(flow.time_ns, (turn_ns, end_ns))
        if start and flow.whose[start - 1] == person:
            return  # in a voice slot since an earlier turn
        found = np.flatnonzero(flow.whose[start:end] == person)
        if found.size:
            heard.append((int(flow.time_ns[start + found[0]]), slot))
    if not heard:
        figures.unheard += 1
        return
    heard_ns, slot = min(heard)
    figures.voice_ms.append((heard_ns - turn_ns) / 1e6)
    flow = video[watcher, slot]
    start, end = np.searchsorted(flow.time_ns, (turn_ns, end_ns))
    found = np.flatnonzero(flow.whose[start:end] == person)
    if found.size:
        figures.picture_ms.append((int(flow.time_ns[start + found[0]]) - turn_ns) / 1e6)

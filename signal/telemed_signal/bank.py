"""One bank a (signal, rate, setting): every station's channels through the same causal filter in one call.

Any way of cutting a signal into blocks, and any company in the batch, gives the same bits: each channel is
filtered from its own carried state alone. A slot starts in the steady state of its first sample, stage by
stage, so a trace begins on its baseline. State is plain float64 arrays and can move between processes.
The arithmetic is scipy's ``sosfilt``, compiled over channels (see ``cascade``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import signal

from telemed_signal import cascade
from telemed_signal.design import Array, FilterSpec
from telemed_signal.faults import BankFull, BlockShape, NotFinite, SlotUnknown
from telemed_signal.rounding import Integers

MAX_CHANNELS: Final = 65_536
"""Of a bank: 12 leads of over 5,000 stations, 5 MB of state for two stages."""
MAX_SLOT_CHANNELS: Final = 32
"""Of a slot: a native frame has no more."""
_FIRST_CAPACITY: Final = 32


@dataclass(frozen=True, slots=True)
class Slot:
    """A handle on some channels of one bank; worth nothing once closed."""

    number: int
    channels: int


@dataclass(frozen=True, slots=True)
class SlotState:
    """All that a slot remembers: ``sections`` is (sections, 2, channels), ``started`` (channels,) bool."""

    sections: Array
    started: npt.NDArray[np.bool_]


class FilterBank:
    """Channels in slots, filtered together by one :class:`FilterSpec` at one rate."""

    def __init__(self, spec: FilterSpec, rate_hz: float) -> None:
        self.spec = spec
        self.rate_hz = float(rate_hz)
        stages = spec.sos(rate_hz)
        ends = np.cumsum([len(sos) for sos in stages])
        self._sos = np.ascontiguousarray(np.vstack(stages))
        self._stages = [slice(int(end) - len(sos), int(end)) for sos, end in zip(stages, ends, strict=True)]
        self._steady = [np.asarray(signal.sosfilt_zi(sos))[:, :, np.newaxis] for sos in stages]
        self._state = np.zeros((len(self._sos), 2, _FIRST_CAPACITY))
        self._started = np.zeros(_FIRST_CAPACITY, dtype=np.bool_)
        self._free = list(range(_FIRST_CAPACITY - 1, -1, -1))
        self._columns: dict[Slot, npt.NDArray[np.intp]] = {}
        self._next = 0

    @property
    def slots(self) -> int:
        """How many slots are open."""
        return len(self._columns)

    def open(self, channels: int) -> Slot:
        """Room for ``channels`` channels that have seen nothing yet."""
        if not 1 <= channels <= MAX_SLOT_CHANNELS:
            raise BlockShape(f"a slot has 1 to {MAX_SLOT_CHANNELS} channels, not {channels}")
        while len(self._free) < channels:
            self._grow()
        columns = np.array([self._free.pop() for _ in range(channels)], dtype=np.intp)
        self._started[columns] = False
        slot = Slot(self._next, channels)
        self._next += 1
        self._columns[slot] = columns
        return slot

    def close(self, slot: Slot) -> None:
        """Forget the slot; its room is used again, from zero."""
        columns = self._of(slot)
        del self._columns[slot]
        self._started[columns] = False
        self._free.extend(int(column) for column in columns[::-1])

    def reset(self, slot: Slot, channels: Iterable[int] | npt.NDArray[np.bool_] | None = None) -> None:
        """Start over with the next sample: all channels, or those named by index or mask."""
        columns = self._of(slot)
        if channels is None:
            self._started[columns] = False
        else:
            chosen = channels if isinstance(channels, np.ndarray) else np.fromiter(channels, dtype=np.intp)
            self._started[columns[chosen]] = False

    def push(self, blocks: Mapping[Slot, Array]) -> dict[Slot, Array]:
        """Filter the next block of each slot: (time, channels) float64 in, the same shape out.

        Blocks of one length go through in one call; the others alone or with their like. Nothing changes when
        any block is refused (wrong shape, not finite, unknown slot).
        """
        groups: dict[int, list[Slot]] = {}
        for slot, block in blocks.items():
            self._of(slot)
            if block.ndim != 2 or block.shape[1] != slot.channels:
                raise BlockShape(f"slot of {slot.channels} channels, block of shape {block.shape}")
            groups.setdefault(block.shape[0], []).append(slot)
        joined = {length: np.hstack([blocks[slot] for slot in slots]) for length, slots in groups.items()}
        if not all(np.isfinite(x).all() for x in joined.values()):
            raise NotFinite
        done: dict[Slot, Array] = {}
        for length, slots in groups.items():
            if length == 0:
                done.update((slot, np.zeros((0, slot.channels))) for slot in slots)
                continue
            columns = np.concatenate([self._columns[slot] for slot in slots])
            y = self._filter(joined[length], columns)
            start = 0
            for slot in slots:
                done[slot] = y[:, start : start + slot.channels]
                start += slot.channels
        return {slot: done[slot] for slot in blocks}

    def push_frame(self, slot: Slot, samples: npt.NDArray[np.signedinteger[Any]]) -> Integers | None:
        """Filter the slot's next block as it came: (channels, time) int16 or int32 in, rounded integers out.

        The bits are those of :meth:`push` and ``quantise``. None, and nothing changed, where a sample is missing (the
        dtype's minimum) or a channel has not begun yet: those go through ``GapHold`` and :meth:`push`.
        """
        columns = self._of(slot)
        if samples.ndim != 2 or samples.shape[0] != slot.channels:
            raise BlockShape(f"slot of {slot.channels} channels, block of shape {samples.shape}")
        out = np.empty(samples.shape, np.int32)
        found = cascade.run_frame(samples, self._sos, self._state, columns, self._started, out)
        if found == cascade.HOLE:
            return None
        return out.astype(np.int16) if found == cascade.NARROW else out

    def export(self, slot: Slot) -> SlotState:
        """A copy of what the slot remembers, to be restored here or elsewhere."""
        columns = self._of(slot)
        return SlotState(self._state[:, :, columns].copy(), self._started[columns].copy())

    def restore(self, slot: Slot, state: SlotState) -> None:
        """Continue the slot exactly where :meth:`export` left it."""
        columns = self._of(slot)
        shape = (*self._state.shape[:2], slot.channels)
        if state.sections.shape != shape or state.started.shape != (slot.channels,):
            raise BlockShape("the state belongs to another filter or number of channels")
        if not np.isfinite(state.sections).all():
            raise NotFinite
        self._state[:, :, columns] = state.sections
        self._started[columns] = state.started

    def _filter(self, x: Array, columns: npt.NDArray[np.intp]) -> Array:
        y = np.array(x, dtype=np.float64, order="C")
        fresh = ~self._started[columns]
        if not fresh.any():
            cascade.run(y, self._sos, self._state, columns)
            return y
        for stage, steady in zip(self._stages, self._steady, strict=True):
            self._state[stage, :, columns[fresh]] = steady * y[0, fresh]
            cascade.run(y, self._sos[stage], self._state[stage], columns)
        self._started[columns] = True
        return y

    def _of(self, slot: Slot) -> npt.NDArray[np.intp]:
        columns = self._columns.get(slot)
        if columns is None:
            raise SlotUnknown
        return columns

    def _grow(self) -> None:
        old = self._started.size
        new = min(2 * old, MAX_CHANNELS)
        if new == old:
            raise BankFull
        self._started = np.concatenate([self._started, np.zeros(new - old, dtype=np.bool_)])
        self._state = np.concatenate([self._state, np.zeros((*self._state.shape[:2], new - old))], axis=2)
        self._free = [*range(new - 1, old - 1, -1), *self._free]

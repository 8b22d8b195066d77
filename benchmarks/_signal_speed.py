"""How fast: the libraries offline and re-run as a live system must, ours as it runs; ratios to one long sosfilt call.

The reference is ``_signal_libraries.reference``, measured before and after each figure in the process of that figure;
times are processor time, so that other programs of a shared machine do not count.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import psutil
from _signal_libraries import reference, seconds
from _signal_ours import detector, state_bytes
from _signal_peers import Libraries
from _signal_records import Array, blocks, train
from scipy import signal
from telemed_signal import cascade
from telemed_signal.bank import FilterBank, Slot
from telemed_signal.design import MONITOR_BAND, MONITOR_ECG, FilterSpec

ECG_RATE_HZ: Final = 360.0
SIGNAL_S: Final = 600.0
STATION_RATE_HZ: Final = 500.0
LEADS: Final = 12
TICK_S: Final = 0.1
STATIONS: Final = (1, 10, 100, 1_000)
HOPS_S: Final = (1.0, 0.25)
ROUNDS: Final = 5
ROUND_SAMPLES: Final = 3_000_000
"""Of one round: a tenth of a second of work or more, so that the clock's own step is nothing."""
SOAK_H: Final = 24


def ratio(samples: int, call: Callable[[], object]) -> tuple[float, float]:
    """Samples a second over the reference's, and seconds of one call.

    The best of some rounds over the best reference between them: what others do on the machine only ever takes time.
    """
    call()
    best, spent = reference(), float("inf")
    for _ in range(ROUNDS):
        spent = min(spent, seconds(call))
        best = max(best, reference())
    return samples / spent / best, spent


def of_libraries(libraries: Libraries, methods: Sequence[str]) -> dict[str, dict[str, float]]:
    """Each method on ten minutes at once, and on its last ten seconds again at each hop."""
    x, _ = train(72, ECG_RATE_HZ, SIGNAL_S, noise_mv=0.03)
    told = {}
    for method in methods:
        answer = libraries.speed(method, x, ECG_RATE_HZ)
        if "error" in answer:
            continue
        reached = {"offline": answer["samples"] / answer["offline_s"] / answer["reference"]}
        for hop in HOPS_S:
            if answer["window_s"] is not None:
                reached[f"live, hop {hop:g} s"] = hop * ECG_RATE_HZ / answer["window_s"] / answer["reference"]
        told[method] = reached
    return told


def of_beats() -> dict[str, dict[str, float]]:
    """Our detector by leads and block: one lead, or all leads of a station together."""
    told = {}
    for leads, block_s in ((1, 0.1), (1, 0.25), (1, 1.0), (LEADS, 0.1), (LEADS, 0.25)):
        x, _ = train(72, ECG_RATE_HZ, SIGNAL_S, noise_mv=0.03)
        whole = x if leads == 1 else np.tile(x, (leads, 1))
        pieces = [np.ascontiguousarray(piece) for piece in blocks(whole, round(block_s * ECG_RATE_HZ))]
        push = detector(leads, ECG_RATE_HZ)

        def run(pieces: Sequence[Array] = pieces, push: Callable[[Array], object] = push) -> None:
            for piece in pieces:
                push(piece)

        share, spent = ratio(leads * x.size, run)
        told[f"{leads} lead{'s' * (leads > 1)}, {block_s * 1000:.0f} ms"] = {
            "ratio": share, "us_a_block": spent / len(pieces) * 1e6,
            "leads_in_real_time": leads * SIGNAL_S / spent,
        }  # fmt: skip
    return told


def of_bank() -> dict[str, dict[str, float]]:
    """One tick of 100 ms of 12 leads at 500 Hz for so many stations, by what is done with it."""
    told: dict[str, dict[str, float]] = {}
    ticks = round(TICK_S * STATION_RATE_HZ)
    x, _ = train(72, STATION_RATE_HZ, 60.0, noise_mv=0.03)
    for stations in STATIONS:
        channels = stations * LEADS
        count = max(2, min(len(x) // ticks, ROUND_SAMPLES // (ticks * channels)))
        floats = [np.repeat(x[k * ticks : (k + 1) * ticks, np.newaxis], channels, axis=1) for k in range(min(count, 8))]
        frames = [np.ascontiguousarray(np.rint(block[:, :LEADS].T * 1000), dtype=np.int16) for block in floats]
        for title, once in _ways(stations, floats, frames):
            def run(once: Callable[[int], None] = once, count: int = count) -> None:
                for k in range(count):
                    once(k % 8 if count > 8 else k)

            share, spent = ratio(count * ticks * channels, run)
            told[f"{stations} stations, {title}"] = {
                "ratio": share, "us_a_tick": spent / count * 1e6,
                "stations_in_real_time": stations * TICK_S * count / spent,
            }  # fmt: skip
    return told


def _ways(
    stations: int, floats: Sequence[Array], frames: Sequence[np.ndarray]
) -> list[tuple[str, Callable[[int], None]]]:
    channels = stations * LEADS
    sos = MONITOR_BAND.sos(STATION_RATE_HZ)[0]
    state = np.zeros((len(sos), 2, channels))
    columns = np.arange(channels)
    kept = np.zeros((len(sos), 2, channels))

    def kernel(k: int) -> None:
        # In place: a buffer is filtered some times over, within its band, and stays an ordinary signal.
        cascade.run(floats[k], sos, state, columns)

    def fallback(k: int) -> None:
        kept[:] = signal.sosfilt(sos, floats[k], axis=0, zi=kept)[1]

    ways: list[tuple[str, Callable[[int], None]]] = [("kernel alone, two sections", kernel)]
    ways.append(("scipy sosfilt in one batch, two sections", fallback))
    for title, spec in (("two sections", MONITOR_BAND), ("monitor filter with notch", MONITOR_ECG)):
        bank, slots = _bank(spec, stations, floats[0])

        def by_frame(k: int, bank: FilterBank = bank, slots: Sequence[Slot] = slots) -> None:
            for slot in slots:
                bank.push_frame(slot, frames[k])

        ways.append((f"bank frame by frame, int16 in and out, {title}", by_frame))
    bank, slots = _bank(MONITOR_BAND, stations, floats[0])
    beats = [detector(LEADS, STATION_RATE_HZ) for _ in range(stations)]
    leads = [np.ascontiguousarray(block[:, :LEADS].T) for block in floats]

    def with_beats(k: int) -> None:
        for slot, push in zip(slots, beats, strict=True):
            bank.push_frame(slot, frames[k])
            push(leads[k])

    ways.append(("bank frame by frame, and beats of all twelve leads", with_beats))
    return ways


def _bank(spec: FilterSpec, stations: int, block: Array) -> tuple[FilterBank, list[Slot]]:
    bank = FilterBank(spec, STATION_RATE_HZ)
    slots = [bank.open(LEADS) for _ in range(stations)]
    bank.push(dict.fromkeys(slots, block[:, :LEADS]))
    return bank, slots


def memory() -> dict[str, float]:
    """Bytes that a lead remembers, and how far the process grows over a day of one lead at full speed."""
    x, _ = train(72, ECG_RATE_HZ, 3_600.0, noise_mv=0.03)
    push = detector(1, ECG_RATE_HZ)
    process, sizes = psutil.Process(), []
    for _ in range(SOAK_H):
        for block in blocks(x, round(0.25 * ECG_RATE_HZ)):
            push(block)
        sizes.append(process.memory_info().rss)
    sections = sum(len(sos) for sos in MONITOR_ECG.sos(STATION_RATE_HZ))
    return {
        "beats_bytes_a_lead": state_bytes(ECG_RATE_HZ), "beats_bytes_a_lead_1000_hz": state_bytes(1000.0),
        "filter_bytes_a_lead": sections * 2 * 8 + 1, "growth_kib_hour_2_to_24": (sizes[-1] - sizes[1]) / 1024,
    }  # fmt: skip

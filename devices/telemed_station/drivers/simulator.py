"""A seeded patient: same seed, same switches, same bytes, however often the driver is pulled.

Every sample is a pure function of its index; every number of its second. ``Monitor`` is everything but the
ECG (pulse wave, breathing, numbers), locked to whatever beats it is given, so a replayed recording gets one too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from telemed_station.drivers import characteristics as gatt
from telemed_station.drivers import waves
from telemed_station.drivers.driver import Channel, Loop, Signal, Value, Wave
from telemed_station.drivers.rhythm import Beat, Rhythm, Scenes, SeededRhythm

SECOND_US = 1_000_000
ECG_RATE = (500, 1)
ECG_GAIN_UV = 2.5
PLETH_RATE = (125, 1)
BREATH_RATE = (125, 2)
WAVE_GAIN = 0.001
MISSING = np.iinfo(np.int16).min
LOOSE_LEAD = waves.LEADS.index("V2")  # the electrode that comes off in "lead_off"
CATCH_UP_US = 10_000_000  # a program that slept longer than this shows a gap instead of making up for it

_NOISE_ECG, _NOISE_EMG, _NOISE_PLETH, _NOISE_BREATH, _NOISE_PRESSURE, _NOISE_HEAT = range(2, 8)

OXIMETRY_FIRST_S, OXIMETRY_EVERY_S = 4, 1
PRESSURE_FIRST_S, PRESSURE_EVERY_S = 10, 180
HEAT_FIRST_S, HEAT_EVERY_S = 6, 30
RATE_FIRST_S, RATE_EVERY_S = 4, 1
AVERAGED_BEATS = 8


class Sampler:
    """Which samples of one rate are due; a sample is due once its time has passed."""

    def __init__(self, rate: tuple[int, int]) -> None:
        self.num, self.den = rate
        self.next = 0

    def time_us(self, index: int) -> int:
        """When a sample is measured, µs since the driver began."""
        return index * self.den * SECOND_US // self.num

    def take(self, until_us: int) -> tuple[int, int]:
        """The first due sample and how many; after a long sleep the oldest are given up."""
        end = -(-until_us * self.num // (self.den * SECOND_US))
        first = max(self.next, end - CATCH_UP_US * self.num // (self.den * SECOND_US))
        self.next = max(self.next, end)
        return first, max(0, end - first)

    def times(self, first: int, count: int) -> NDArray[np.float64]:
        """The times of ``count`` samples, µs."""
        return (np.arange(first, first + count) * (self.den * SECOND_US / self.num)).astype(np.float64)


class Every:
    """Seconds at which a number is due."""

    def __init__(self, first_s: int, every_s: int) -> None:
        self._next_s = first_s
        self._every_s = every_s

    def take(self, until_us: int) -> list[int]:
        """The due seconds before ``until_us``, oldest first."""
        due: list[int] = []
        while self._next_s * SECOND_US < until_us:
            if self._next_s * SECOND_US >= until_us - CATCH_UP_US:
                due.append(self._next_s)
            self._next_s += self._every_s
        return due


def pulse_rate(beats: Sequence[Beat]) -> float:
    """Beats a minute over the last ``AVERAGED_BEATS`` intervals."""
    last = beats[-AVERAGED_BEATS:]
    return 60e6 * len(last) / sum(beat.interval_us for beat in last)


class Monitor:
    """Pulse wave, breathing, oximetry, blood pressure, temperature and, when asked for, a chest strap's rate."""

    def __init__(self, seed: int, scenes: Scenes, rhythm: Rhythm, *, heart_rate: bool) -> None:
        self._seed = seed
        self._scenes = scenes
        self._rhythm = rhythm
        self._samplers = {"pleth": Sampler(PLETH_RATE), "respiration": Sampler(BREATH_RATE)}
        self._numbers: dict[str, tuple[Every, Callable[[int], bytes]]] = {
            "spo2": (Every(OXIMETRY_FIRST_S, OXIMETRY_EVERY_S), self._oximetry_at),
            "blood_pressure": (Every(PRESSURE_FIRST_S, PRESSURE_EVERY_S), self._pressure_at),
            "temperature": (Every(HEAT_FIRST_S, HEAT_EVERY_S), self._heat_at),
        }
        self._spo2 = 97.0
        self._spo2_second = 0
        signals = [
            Signal("pleth", "Simulated oximeter", "native", "simulated", PLETH_RATE,
                   (Channel("Pleth", "1", WAVE_GAIN),)),
            Signal("respiration", "Simulated monitor", "native", "simulated", BREATH_RATE,
                   (Channel("Resp", "Ohm", WAVE_GAIN),)),
            Signal("spo2", "Simulated oximeter", "gatt:2a5f", "simulated"),
            Signal("blood_pressure", "Simulated cuff", "gatt:2a35", "simulated"),
            Signal("temperature", "Simulated thermometer", "gatt:2a1c", "simulated"),
        ]  # fmt: skip
        if heart_rate:
            self._numbers["heart_rate"] = (Every(RATE_FIRST_S, RATE_EVERY_S), self._rate_at)
            signals.append(Signal("heart_rate", "Simulated chest strap", "gatt:2a37", "simulated"))
        self.signals: tuple[Signal, ...] = tuple(signals)

    @property
    def samplers(self) -> dict[str, Sampler]:
        """The samplers of the waves, by kind."""
        return self._samplers

    def pull(self, until_us: int, start_us: int) -> list[Wave | Value]:
        """Everything due before ``until_us`` (µs since the driver began); stamps are ``start_us`` + time."""
        out: list[Wave | Value] = []
        for kind, sampler in self._samplers.items():
            first, count = sampler.take(until_us)
            if count:
                samples = self._pleth(first, count) if kind == "pleth" else self._breath(first, count)
                out.append(Wave(kind, first, start_us + sampler.time_us(first), samples[np.newaxis, :]))
        for kind, (due, message) in self._numbers.items():
            out += [Value(kind, start_us + second * SECOND_US, message(second)) for second in due.take(until_us)]
        return out

    def _beats(self, first_us: float, last_us: float) -> list[Beat]:
        return self._rhythm.beats(int(first_us) - waves.LOOK_BACK_US, int(last_us) + waves.LOOK_AHEAD_US)

    def _noise(self, signal: int, first: int, count: int, rate: tuple[int, int]) -> NDArray[np.float64]:
        row: NDArray[np.float64] = waves.noise((self._seed, signal), first, count, rate[0] / rate[1])[0]
        return row

    def _pleth(self, first: int, count: int) -> NDArray[np.int16]:
        t = self._samplers["pleth"].times(first, count)
        wave = waves.pulse(t, self._beats(t[0], t[-1])) + 0.004 * self._noise(_NOISE_PLETH, first, count, PLETH_RATE)
        moving = _mask(self._scenes, t, "motion")
        if moving.any():
            wave = wave + moving * 0.8 * waves.movement(t)[1]
        return _to_int16(wave / WAVE_GAIN)

    def _breath(self, first: int, count: int) -> NDArray[np.int16]:
        t = self._samplers["respiration"].times(first, count)
        hiss = self._noise(_NOISE_BREATH, first, count, BREATH_RATE)
        wave = 0.5 * waves.breathing(t) + 0.006 * hiss
        moving = _mask(self._scenes, t, "motion")
        if moving.any():
            wave = wave + moving * 0.6 * waves.movement(t)[2]
        return _to_int16(wave / WAVE_GAIN)

    def _recent(self, second: int) -> list[Beat]:
        """The beats of the last ten seconds whose pulse has arrived."""
        now = second * SECOND_US
        return self._rhythm.beats(max(0, now - 10 * SECOND_US), now)

    def _oximetry_at(self, second: int) -> bytes:
        while self._spo2_second < second:
            self._spo2_second += 1
            goal = 82.0 if self._scenes.at(self._spo2_second * SECOND_US) == "desaturation" else 97.0
            self._spo2 += (goal - self._spo2) * 0.04  # a time constant of 25 s
        beats = self._recent(second)
        moving = self._scenes.at(second * SECOND_US) == "motion"
        rate = pulse_rate(beats) if beats else 0.0
        return gatt.oximetry(round(self._spo2), round(rate), questionable=moving)

    def _pressure_at(self, second: int) -> bytes:
        lift, spread = np.random.default_rng([self._seed, _NOISE_PRESSURE, second]).standard_normal(2)
        fast = self._scenes.at(second * SECOND_US) == "tachycardia"
        systolic = round((112 if fast else 126) + 3 * lift)
        diastolic = round((70 if fast else 79) + 2 * lift + spread)
        mean = round(diastolic + (systolic - diastolic) / 3)
        beats = self._recent(second)
        rate = round(pulse_rate(beats)) if beats else 0
        return gatt.blood_pressure(systolic, diastolic, mean, rate)

    def _heat_at(self, second: int) -> bytes:
        tenths = 366 + round(float(np.random.default_rng([self._seed, _NOISE_HEAT, second]).standard_normal()) * 0.6)
        return gatt.temperature(tenths)

    def _rate_at(self, second: int) -> bytes:
        beats = self._recent(second)
        new = [beat.interval_us for beat in beats if beat.r_us >= (second - RATE_EVERY_S) * SECOND_US]
        return gatt.heart_rate(round(pulse_rate(beats)) if beats else 0, new)


class Simulator:
    """Twelve leads of a seeded heart, and its ``Monitor``."""

    loop: Loop | None = None
    name = "simulator"

    def __init__(self, seed: int, scenario: str, start_us: int, *, heart_rate: bool = False) -> None:
        self._seed = seed
        self._start_us = start_us
        self._scenes = Scenes(scenario)
        self._rhythm = SeededRhythm(seed, self._scenes)
        self._ecg = Sampler(ECG_RATE)
        self._monitor = Monitor(seed, self._scenes, self._rhythm, heart_rate=heart_rate)
        leads = tuple(Channel(lead, "uV", ECG_GAIN_UV) for lead in waves.LEADS)
        self.signals: tuple[Signal, ...] = (
            Signal("ecg", "Simulated ECG", "native", "simulated", ECG_RATE, leads),
            *self._monitor.signals,
        )

    @property
    def scenario(self) -> str:
        """The scenario asked for last."""
        return self._scenes.last

    def pull(self, until_us: int) -> list[Wave | Value]:
        """Everything measured before the stamp ``until_us`` and not returned yet."""
        until = until_us - self._start_us
        out: list[Wave | Value] = []
        first, count = self._ecg.take(until)
        if count:
            out.append(self._leads(first, count))
        return out + self._monitor.pull(until, self._start_us)

    def sample_index(self, kind: str) -> int:
        """The index that the next sample of a native stream will have."""
        return self._sampler(kind).next

    def stamp_of(self, kind: str, index: int) -> int:
        """The stamp of a sample of a native stream, µs."""
        return self._start_us + self._sampler(kind).time_us(index)

    def since_beat_us(self, stamp_us: int) -> int | None:
        """How long before ``stamp_us`` the last R peak was, µs; None when there was none in the last 3 s."""
        return since_beat(self._rhythm, stamp_us - self._start_us)

    def switch(self, scenario: str, at_us: int) -> None:
        """Play another scenario from half a second after ``at_us``."""
        self._scenes.switch(scenario, at_us - self._start_us)

    def _sampler(self, kind: str) -> Sampler:
        return self._ecg if kind == "ecg" else self._monitor.samplers[kind]

    def _leads(self, first: int, count: int) -> Wave:
        t = self._ecg.times(first, count)
        beats = self._rhythm.beats(int(t[0]) - waves.LOOK_BACK_US, int(t[-1]) + waves.LOOK_AHEAD_US)
        vector = waves.heart_vector(t, beats) + waves.wander(t, 0.04)
        fibrillating = _mask(self._scenes, t, "atrial_fibrillation")
        if fibrillating.any():
            vector = vector + fibrillating * waves.fibrillation(t)
        moving = _mask(self._scenes, t, "motion")
        if moving.any():
            vector = vector + moving * waves.movement(t)
        leads_mv = waves.twelve_leads(vector) + 0.006 * waves.noise((self._seed, _NOISE_ECG), first, count, 500.0, 12)
        if moving.any():
            leads_mv = leads_mv + moving * 0.08 * waves.noise((self._seed, _NOISE_EMG), first, count, 500.0, 12)
        samples = _to_int16(leads_mv * 1000.0 / ECG_GAIN_UV)
        loose = _mask(self._scenes, t, "lead_off")
        if loose.any():
            samples[LOOSE_LEAD, loose] = MISSING
        stamp = self._start_us + self._ecg.time_us(first)
        return Wave("ecg", first, stamp, samples, off=1 << LOOSE_LEAD if loose.any() else 0)


def since_beat(rhythm: Rhythm, now_us: int) -> int | None:
    """How long before ``now_us`` the last R peak was, µs; None when there was none in the last 3 s."""
    beats = rhythm.beats(now_us - 3 * SECOND_US, now_us + 1)
    return now_us - beats[-1].r_us if beats else None


def _mask(scenes: Scenes, t_us: NDArray[np.float64], scenario: str) -> NDArray[np.bool_]:
    """Where ``scenario`` is in force, one flag a sample; a chunk rarely holds more than one switch."""
    if scenes.at(t_us[0]) == scenes.at(t_us[-1]) and not scenes.switched_between(t_us[0], t_us[-1]):
        return np.full(t_us.shape, scenes.at(t_us[0]) == scenario)
    return np.array([scenes.at(t) == scenario for t in t_us])


def _to_int16(values: NDArray[np.float64]) -> NDArray[np.int16]:
    """Nearest integers, clipped to what int16 can say; the minimum means "missing" and is left out."""
    return np.clip(np.rint(values), MISSING + 1, np.iinfo(np.int16).max).astype(np.int16)

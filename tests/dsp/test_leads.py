"""Derived leads: exact integers, missing stays missing, equal to what two makers' devices recorded."""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from telemed_signal.faults import BlockShape, GridsDiffer
from telemed_signal.leads import DERIVED, Grid, check, check_electrodes, derive, grids

Array = npt.NDArray[np.float64]
NAMES = ["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"]
HOLE_16, HOLE_32 = -(2**15), -(2**31)


def dicom(recordings: Path) -> tuple[npt.NDArray[np.int16], float, float]:
    """Counts (12, n), millivolts a count and rate of a resting ECG (Mortara, 1 kHz)."""
    data = (recordings / "devices" / "dicom" / "waveform_ecg.dcm").read_bytes()
    at = data.index(b"\x00\x54\x10\x10OW\x00\x00")  # (5400,1010) Waveform Data
    length = int.from_bytes(data[at + 8 : at + 12], "little")
    return np.frombuffer(data, "<i2", length // 2, at + 12).reshape(-1, 12).T.copy(), 0.00125, 1000.0


def aecg(recordings: Path) -> tuple[npt.NDArray[np.int16], float, float]:
    """The same of an HL7 annotated ECG at 500 Hz."""
    text = (recordings / "devices" / "aecg" / "subject1_0.xml").read_text("utf-8")
    found = re.findall(r'<code code="MDC_ECG_LEAD_(\w+)"(?:(?!<code).)*?<digits>([^<]*)</digits>', text, re.DOTALL)
    rows = {name.upper(): row.split() for name, row in found[:12]}  # the rhythm; the median beats come after it
    return np.array([rows[name.upper()] for name in NAMES], dtype=np.int16), 0.0025, 500.0


Reader = Callable[[Path], tuple[npt.NDArray[np.int16], float, float]]
READERS: list[Reader] = [dicom, aecg]
every_recording = pytest.mark.parametrize("read", READERS, ids=lambda read: read.__name__)


def in_mv(counts: npt.NDArray[np.int16], gain: float) -> dict[str, Array]:
    return {name: row * gain for name, row in zip(NAMES, counts, strict=True)}


def exchanged(leads: dict[str, Array], one: str, other: str) -> dict[str, Array]:
    """What the same device records when two electrodes are on each other's place: the chest's leads stay."""
    # Any potentials with these differences do; the fourth is the leg that no lead is made of.
    at = {"R": 0 * leads["I"], "L": leads["I"], "F": leads["II"], "N": leads["II"] + 0.001}
    at[one], at[other] = at[other], at[one]
    i, ii = at["L"] - at["R"], at["F"] - at["R"]
    limbs = {"I": i, "II": ii, "III": ii - i, "aVR": -(i + ii) / 2, "aVL": i - ii / 2, "aVF": ii - i / 2}
    return leads | limbs


@given(st.data(), st.sampled_from([np.int16, np.int32]))
def test_every_count_is_the_fraction_rounded_to_even(data: st.DataObject, dtype: type[np.signedinteger]) -> None:
    info = np.iinfo(dtype)
    near = st.one_of(st.integers(-50, 50), st.integers(info.min, info.max))
    one, two = data.draw(hnp.arrays(dtype, (2, data.draw(st.integers(0, 12))), elements=near))
    out = derive(one, two)
    assert out.shape == (4, len(one))
    hole = np.iinfo(out.dtype).min
    for lead, row in zip(DERIVED, out.tolist(), strict=True):
        for i, ii, got in zip(one.tolist(), two.tolist(), row, strict=True):
            if info.min in (i, ii):
                assert got == hole
            else:
                exact = round(Fraction(lead.of_i * i + lead.of_ii * ii, 2))
                assert got == max(-(2**31) + 1, min(2**31 - 1, exact))


def test_the_words_are_the_sums() -> None:
    i, ii = 7, 2
    said = {"II - I": ii - i, "-(I + II) / 2": -(i + ii) / 2, "I - II / 2": i - ii / 2, "II - I / 2": ii - i / 2}
    assert [lead.name for lead in DERIVED] == ["III", "aVR", "aVL", "aVF"]
    for lead in DERIVED:
        assert said[lead.formula] == (lead.of_i * i + lead.of_ii * ii) / 2


def test_halves_go_to_the_even_number() -> None:
    out = derive(np.array([1, 2, 1], np.int16), np.array([0, 1, 2], np.int16))
    assert out.tolist() == [[-1, -1, 1], [0, -2, -2], [1, 2, 0], [0, 0, 2]]
    assert out.dtype == np.int16


def test_it_widens_only_when_it_must() -> None:
    one, two = np.array([-30_000], np.int16), np.array([30_000], np.int16)
    out = derive(one, two)
    assert out.dtype == np.int32
    assert out[:, 0].tolist() == [60_000, 0, -45_000, 45_000]
    holes = derive(np.array([HOLE_16, -30_000], np.int16), np.array([5, 30_000], np.int16))
    assert holes[:, 0].tolist() == [HOLE_32] * 4
    ends = derive(np.array([-(2**31) + 1], np.int32), np.array([2**31 - 1], np.int32))
    assert ends[0, 0] == 2**31 - 1 and ends[2, 0] == -(2**31) + 1


def test_the_grid_of_a_derived_lead() -> None:
    assert grids(Grid(2.5), Grid(2.5)) == (Grid(2.5),) * 4
    assert [grid.offset for grid in grids(Grid(1.0, 10.0), Grid(1.0, 4.0))] == [-6.0, -7.0, 8.0, -1.0]
    with pytest.raises(GridsDiffer):
        grids(Grid(2.5), Grid(1.25))


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (np.zeros(3, np.int16), np.zeros(4, np.int16)),
        (np.zeros(3, np.int16), np.zeros(3, np.int32)),
        (np.zeros((1, 3), np.int16), np.zeros((1, 3), np.int16)),
        (np.zeros(3), np.zeros(3)),
    ],
)
def test_leads_that_do_not_belong_together_are_refused(one: npt.NDArray[np.int16], two: npt.NDArray[np.int16]) -> None:
    with pytest.raises(BlockShape):
        derive(one, two)


@every_recording
def test_a_recorded_twelve_lead_ecg_obeys_the_law(read: Reader, recordings: Path) -> None:
    counts, gain, rate_hz = read(recordings)
    out = derive(counts[0], counts[1])
    assert np.abs(out - counts[2:6]).max() <= 2  # counts: the device rounded its own
    found = check(in_mv(counts, gain), rate_hz)
    assert [one.name for one in found] == ["III", "aVR", "aVL", "aVF"]
    for one in found:
        assert one.reason is None
        assert one.max_mv <= 2 * gain + 1e-9
        assert one.samples == counts.shape[1]


@every_recording
def test_a_lead_under_another_name_or_sign_disagrees(read: Reader, recordings: Path) -> None:
    counts, gain, rate_hz = read(recordings)
    leads = in_mv(counts, gain)
    for wrong in (
        leads | {"III": leads["aVF"], "aVF": leads["III"]}, leads | {"aVR": -leads["aVR"]},
        leads | {"aVL": np.roll(leads["aVL"], int(0.02 * rate_hz))}, leads | {"I": leads["V1"]},
    ):  # fmt: skip
        assert "leads_disagree" in {one.reason for one in check(wrong, rate_hz)}


@every_recording
def test_electrodes_on_the_wrong_limb_obey_the_law_and_show_in_the_shape(read: Reader, recordings: Path) -> None:
    counts, gain, rate_hz = read(recordings)
    leads = in_mv(counts, gain)
    assert check_electrodes(leads, rate_hz) is None
    arms, leg = exchanged(leads, "R", "L"), exchanged(leads, "R", "N")
    assert check_electrodes(arms, rate_hz) == "arm_wires_exchanged"
    assert check_electrodes(leg, rate_hz) == "leg_wire_exchanged"
    for wrong in (arms, leg, exchanged(leads, "L", "F")):
        assert {one.reason for one in check(wrong, rate_hz)} == {None}


def test_missing_samples_and_offsets_are_no_disagreement(recordings: Path) -> None:
    counts, gain, rate_hz = dicom(recordings)
    leads = in_mv(counts, gain)
    leads["III"] = leads["III"] + 12.0
    leads["aVL"] = np.where(np.arange(counts.shape[1]) < 7000, leads["aVL"], np.nan)
    leads["aVF"] = np.where(np.arange(counts.shape[1]) < 1999, leads["aVF"], np.nan)
    found = {one.name: one for one in check(leads, rate_hz)}
    assert [found[name].reason for name in ("III", "aVR", "aVL", "aVF")] == [None, None, None, "too_short"]
    assert found["aVL"].samples == 7000
    assert check_electrodes({"I": leads["I"][:100], "II": leads["II"][:100]}, rate_hz) is None
    assert check_electrodes({"V6": leads["V6"]}, rate_hz) is None
    with pytest.raises(BlockShape):
        check({"I": leads["I"], "III": leads["III"]}, rate_hz)

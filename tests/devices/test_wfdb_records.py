"""WFDB records: every format against the reference library, and everything that a file may do wrong.

Oracle: the ``wfdb`` package (a development dependency), on records written by PhysioNet's own tools.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import wfdb as reference
from hypothesis import given
from hypothesis import strategies as st
from telemed_devices import wfdb
from telemed_devices.recording import (
    MAX_FAULTS,
    RecordedChannel,
    Recording,
    RecordingError,
    RecordingFileMissing,
    RecordingFormat,
    RecordingHeader,
    RecordingTooLarge,
)
from telemed_devices.wfdb import signals
from telemed_devices.wfdb.header import parse

Array = npt.NDArray[np.float64]

RECORDS = (
    "03700181", "100", "100-no-len", "100_3chan", "100skew", "3000003_0003", "310derive", "310derive_3", "311derive",
    "311derive_3", "binformats", "test01_00s", "test01_00s_frame", "test01_00s_skew", "test01_00s_skewframe",
    "041s/041s", "s25047/s25047-2704-05-04-10-44", "s25047/s25047-2704-05-04-10-44n",
)  # fmt: skip


def physical(channel: RecordedChannel) -> Array:
    """The values in the channel's unit, NaN where there are none."""
    values = np.full(channel.length, np.nan)
    for one in channel.stretches:
        gone = one.samples == np.iinfo(one.samples.dtype).min
        values[one.first_sample : one.end_sample] = np.where(gone, np.nan, one.samples * one.gain + one.offset)
    return values


def codes(recording: Recording) -> list[str]:
    return [fault.code for fault in recording.faults]


def read(header: Path) -> Recording:
    """A record from a folder, its files found as ``needs`` names them."""
    files = {header.name: header.read_bytes()}
    absent: set[str] = set()
    while wanted := [name for name in wfdb.needs(header.name, files) if name not in absent]:
        for name in wanted:
            beside = header.with_name(name)
            if beside.is_file():
                files[name] = beside.read_bytes()
            else:
                absent.add(name)
    return wfdb.decode(header.name, files)


@pytest.mark.parametrize("name", RECORDS)
def test_every_sample_is_the_reference_librarys(name: str, recordings: Path) -> None:
    place = recordings / "devices" / "wfdb" / name
    found = read(place.with_name(f"{place.name}.hea"))
    record = reference.rdrecord(str(place), smooth_frames=False)
    if isinstance(record, reference.MultiRecord):
        record = record.multi_to_single(physical=True, expanded=True)
    assert [one.name for one in found.channels] == record.sig_name
    for place_, channel in enumerate(found.channels):
        expected = record.e_p_signal[place_]
        np.testing.assert_allclose(physical(channel)[: len(expected)], expected, rtol=1e-12, atol=1e-9, equal_nan=True)
        assert channel.rate_hz == record.fs * record.samps_per_frame[place_]
    assert "checksum" not in codes(found) and "truncated" not in codes(found)


def test_a_master_header_leaves_gaps_that_cost_nothing(recordings: Path) -> None:
    found = read(recordings / "devices" / "wfdb" / "s25047" / "s25047-2704-05-04-10-44.hea")
    assert found.channels[0].stretches[0].first_sample == 25_740  # after the segment "~"
    assert found.channels[2].stretches[0].first_sample > found.channels[0].stretches[0].first_sample


# Headers


def header(lines: str) -> bytes:
    return lines.encode()


def one_signal(spec: str, data: bytes = b"", *, record: str = "r 1 100 4") -> Recording:
    return wfdb.decode("r.hea", {"r.hea": header(f"{record}\n{spec}\n"), "r.dat": data})


FOUR = struct.pack("<4h", 0, 100, -100, 400)


def test_gain_baseline_units_and_defaults() -> None:
    channel = one_signal("r.dat 16 50(100)/uV 12 7 0 400 0 I  II", FOUR).channels[0]
    assert (channel.name, channel.unit, channel.rate_hz) == ("I  II", "uV", 100.0)
    np.testing.assert_allclose(physical(channel), [-2.0, 0.0, -4.0, 6.0])
    plain = one_signal("r.dat 16 200 12 100 0 400 0 MLII", FOUR)
    np.testing.assert_allclose(physical(plain.channels[0]), [-0.5, 0.0, -1.0, 1.5])  # the zero of the converter
    assert plain.channels[0].unit == "mV" and plain.faults == ()
    bare = one_signal("r.dat 16", FOUR)
    assert bare.channels[0].name == "signal 1" and codes(bare) == ["uncalibrated"]
    assert bare.channels[0].stretches[0].gain == 1 / 200
    assert parse(b"r 1\nr.dat 16\n").rate_hz == 250.0


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("", "line 1"), ("# only a remark\n", "line 1"), ("r\n", "line 1"), ("r x 360 100\n", "line 1"),
        ("r 1 0 100\nr.dat 16\n", "line 1"), ("r 1 1e9 100\nr.dat 16\n", "line 1"), ("r 9999 360 100\n", "line 1"),
        ("r 1 360 999999999999999\nr.dat 16\n", "line 1"), ("r 2 360 100\nr.dat 16\n", "line 3"),
        ("r 1 360 100\nr.dat\n", "line 2"), ("r 1 360 100\nr.dat sixteen\n", "line 2"),
        ("r 1 360 100\nr.dat 16x0\n", "line 2"), ("r 1 360 100\nr.dat 16x99999\n", "line 2"),
        ("r 1 360 100\nr.dat 16 much\n", "line 2"), ("r 1 360 100\nr.dat 16 1e999\n", "line 2"),
        ("r 1 360 100\nr.dat 16 200 12 x\n", "line 2"), ("r/0 1 360\n", "line 1"), ("r/3 1 360\na 1\n", "line 1"),
        ("r/1 1 360 100\n../a 100\n", "line 2"),
    ],
)  # fmt: skip
def test_a_header_that_cannot_be_read_names_its_line(text: str, where: str) -> None:
    with pytest.raises(RecordingHeader) as refused:
        wfdb.decode("r.hea", {"r.hea": header(text)})
    assert refused.value.params == {"where": where} and refused.value.code == "recording_header"


def test_a_name_in_a_header_leads_to_no_other_folder() -> None:
    for name in ("../r.dat", "/etc/passwd", "a/b.dat", "..", "-", "\\\\host\\share"):
        files = {"r.hea": header(f"r 1 100 4\n{name} 16 200\n")}
        assert name == "-" or wfdb.needs("r.hea", files) == []
        with pytest.raises(RecordingFileMissing):
            wfdb.decode("r.hea", files)


def test_names_hold_nothing_that_a_terminal_obeys() -> None:
    found = one_signal("r.dat 16 200 12 0 0 400 0 \x1b[2J\x07II\u202e", FOUR)
    assert found.channels[0].name == "?[2J?II?"


# Signal files


def test_a_short_file_gives_what_is_there_and_says_which_samples_are_not() -> None:
    whole = one_signal("r.dat 16 200 12 0 0 400 0 II", FOUR)
    for cut in range(len(FOUR)):
        found = one_signal("r.dat 16 200 12 0 0 400 0 II", FOUR[:cut])
        (fault,) = found.faults
        assert (fault.code, fault.channel, fault.first_sample, fault.end_sample) == ("truncated", 0, cut // 2, 4)
        assert found.channels[0].length == cut // 2
        np.testing.assert_array_equal(physical(found.channels[0]), physical(whole.channels[0])[: cut // 2])


def test_the_checksum_is_verified() -> None:
    assert codes(one_signal("r.dat 16 200 12 0 0 400 0 II", FOUR)) == []
    assert codes(one_signal("r.dat 16 200 12 0 0 65936 0 II", FOUR)) == []  # unsigned, as some writers print it
    assert codes(one_signal("r.dat 16 200 12 0 0 401 0 II", FOUR)) == ["checksum"]


@pytest.mark.parametrize("format_", sorted({16, 24, 32, 61, 80, 160, 212, 310, 311}))
def test_the_lowest_value_means_missing(format_: int) -> None:
    lowest = {
        16: "0080", 24: "000080", 32: "00000080", 61: "8000", 80: "00", 160: "0000", 212: "0008", 310: "0004",
        311: "000200",
    }[format_]  # fmt: skip
    found = signals.samples_of(format_, bytes.fromhex(lowest), 1)
    assert found.tolist() == [np.iinfo(found.dtype).min]


def test_several_samples_a_frame_an_offset_and_a_skew() -> None:
    data = b"head" + struct.pack("<9h", 1, 2, 10, 3, 4, 20, 5, 6, 30)
    lines = "r 2 100 3\nr.dat 16x2+4 1 12 0 1 21 0 II\nr.dat 16:1+4 1 12 0 10 60 0 V5\n"
    found = wfdb.decode("r.hea", {"r.hea": header(lines), "r.dat": data})
    assert [one.rate_hz for one in found.channels] == [200.0, 100.0]
    assert found.channels[0].stretches[0].samples.tolist() == [1, 2, 3, 4, 5, 6]
    assert found.channels[1].stretches[0].samples.tolist() == [20, 30] and found.channels[1].length == 3
    assert found.faults == ()


def test_formats_that_are_not_read() -> None:
    with pytest.raises(RecordingFormat) as refused:
        one_signal("r.dat 516 200", FOUR)
    assert refused.value.params == {"format": 516}
    lines = "r 2 100 4\nr.dat 516 200 12 0 0 0 0 I\ns.dat 16 200 12 0 0 400 0 II\n"
    found = wfdb.decode("r.hea", {"r.hea": header(lines), "r.dat": FOUR, "s.dat": FOUR})
    assert [bool(one.stretches) for one in found.channels] == [False, True]
    assert [(one.code, one.channel, one.end_sample) for one in found.faults] == [("format_unsupported", 0, 4)]


# Segments

PART = "{name} 2 100 4\n{name}.dat 16 {gain} 12 0 0 800 0 II\n{name}.dat 16 200 12 0 0 -800 0 {second}\n"


def segment(name: str, gain: int = 200, second: str = "V5") -> dict[str, bytes]:
    one = np.array([100, 200, 200, 300], np.int16)
    return {
        f"{name}.hea": PART.format(name=name, gain=gain, second=second).encode(),
        f"{name}.dat": np.stack([one, -one], axis=1).astype("<i2").tobytes(),
    }


def test_segments_gaps_and_a_gain_of_their_own() -> None:
    files = segment("a") | segment("b", 400) | {"m.hea": b"m/3 2 100 13\na 4\n~ 5\nb 4\n"}
    found = wfdb.decode("m.hea", files)
    first = found.channels[0]
    assert [(one.first_sample, one.end_sample, one.gain) for one in first.stretches] == [
        (0, 4, 1 / 200), (9, 13, 1 / 400)]  # fmt: skip
    assert first.length == 13 and found.faults == ()


def test_a_layout_names_the_channels_and_segments_may_lack_some() -> None:
    layout = b"l 3 100 0\n~ 0 200/mV 12 0 0 0 0 V5\n~ 0 200/mV 12 0 0 0 0 II\n~ 0 200/mV 12 0 0 0 0 III\n"
    files = segment("a") | segment("b", second="ABP") | {"l.hea": layout, "m.hea": b"m/3 3 100 8\nl 0\na 4\nb 4\n"}
    found = wfdb.decode("m.hea", files)
    assert [[one.first_sample for one in channel.stretches] for channel in found.channels] == [[0], [0, 4], []]


def test_a_segment_that_does_not_fit_is_a_gap_with_a_name() -> None:
    nested = b"c/1 2 100 4\na 4\n"
    slow = segment("d")["d.hea"].replace(b" 100 ", b" 50 ")
    files = segment("a") | segment("d") | {"c.hea": nested, "d.hea": slow}
    found = wfdb.decode("m.hea", files | {"m.hea": b"m/4 2 100 16\na 4\nc 4\nd 4\ngone 4\n"})
    assert [one.first_sample for one in found.channels[0].stretches] == [0] and found.channels[0].length == 16
    assert [(one.code, one.first_sample, one.end_sample) for one in found.faults if one.channel == 0] == [
        ("segment_differs", 4, 8), ("segment_differs", 8, 12), ("file_missing", 12, 16)]  # fmt: skip
    with pytest.raises(RecordingFileMissing):
        wfdb.decode("m.hea", {"m.hea": b"m/1 2 100 4\na 4\n"})


def test_a_header_cannot_make_us_hold_more_than_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    many = b"m/9 2 100 36\n" + b"a 4\n" * 9
    monkeypatch.setattr("telemed_devices.wfdb.record.MAX_SAMPLES", 40)
    with pytest.raises(RecordingTooLarge):
        wfdb.decode("m.hea", segment("a") | {"m.hea": many})
    found = one_signal("r.dat 16 200", FOUR, record="r 1 100 1000000000000")
    assert found.faults[0].code == "truncated" and found.channels[0].length == 4
    with pytest.raises(RecordingTooLarge):  # three hundred years, in two segments of four samples
        wfdb.decode("m.hea", segment("a") | {"m.hea": b"m/3 2 100\na 4\n~ 999999999999\na 4\n"})
    gone = b"m/5000 2 100\na 4\n" + b"gone 4\n" * 4999
    found = wfdb.decode("m.hea", segment("a") | {"m.hea": gone})
    assert len(found.faults) == MAX_FAULTS + 1 and found.faults[-1].code == "more_faults"


# Hostile input is normal input

TEXT = st.text(alphabet="r.dat 0123456789~/+-:()xXeE#\n\t", max_size=120)
LINE = st.builds(
    "{} {}x{}:{}+{} {}({})/{} 12 {} {} {} 0 {}".format, st.sampled_from(["r.dat", "s.dat", "~", "../r.dat"]),
    st.sampled_from([0, *signals.FORMATS, 516]), st.integers(1, 5), st.integers(0, 9), st.integers(0, 9),
    st.floats(allow_nan=False, allow_infinity=False), st.integers(-99999, 99999), st.sampled_from(["mV", "uV", "mmHg"]),
    *(st.integers(-40000, 40000),) * 3, st.sampled_from(["II", "PLETH", "RESP", ""]),
)  # fmt: skip


@given(st.one_of(st.binary(max_size=300), TEXT.map(str.encode)), st.binary(max_size=50))
def test_any_bytes_are_a_recording_or_refused(text: bytes, data: bytes) -> None:
    try:
        found = wfdb.decode("r.hea", {"r.hea": text, "r.dat": data})
    except RecordingError:
        return
    assert sum(one.samples.size for channel in found.channels for one in channel.stretches) <= 2 * len(data)


@given(st.lists(LINE, min_size=1, max_size=4), st.integers(0, 40), st.binary(max_size=200), st.binary(max_size=50))
def test_any_signal_lines_are_read_within_their_bytes(lines: list[str], n: int, one: bytes, two: bytes) -> None:
    text = "\n".join([f"r {len(lines)} 100 {n}", *lines]).encode()
    try:
        found = wfdb.decode("r.hea", {"r.hea": text, "r.dat": one, "s.dat": two})
    except RecordingError:
        return
    assert len(found.channels) == len(lines)
    for place, channel in enumerate(found.channels):
        for stretch in channel.stretches:
            assert 0 <= stretch.first_sample < stretch.end_sample <= channel.length, place
            assert stretch.samples.dtype in (np.int16, np.int32)


@given(st.sampled_from(sorted(signals.FORMATS)), st.binary(max_size=64), st.integers(-1, 80))
def test_a_signal_file_of_any_bytes_gives_whole_samples_and_a_prefix_gives_their_beginning(
    format_: int, data: bytes, count: int
) -> None:
    whole = signals.samples_of(format_, data, 10_000)
    assert len(whole) <= signals.most(format_, len(data))
    part = signals.samples_of(format_, data, count)
    np.testing.assert_array_equal(part, whole[: max(0, count)])
    for cut in range(len(data)):
        fewer = signals.samples_of(format_, data[:cut], 10_000)
        np.testing.assert_array_equal(fewer, whole[: len(fewer)])

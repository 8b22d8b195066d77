"""EDF, EDF+ and BDF: every sample against the reference library, gaps of EDF+D, and everything a file may do wrong.

Oracle: ``edfio`` for what it reads; it reads no EDF+D, of which the files are made here, byte by byte after the
standard's own table.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import edfio
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from telemed_devices import edf
from telemed_devices.recording import Recording, RecordingError, RecordingHeader, RecordingTooLarge

FILES = (
    "short_psg.edf", "test_edf_stim_channel.edf", "test_generator_2.edf", "test_generator_datarec_generator_2.bdf",
    "test_subsecond.edf", "test_uneven_samp.edf",
)  # fmt: skip

Signal = tuple[str, str, str, str, str, str, int]  # label, unit, the four ends, samples a record
ECG: Signal = ("ECG II", "mV", "-5", "5", "-5000", "5000", 4)
NOTES: Signal = ("EDF Annotations", "", "-1", "1", "-32768", "32767", 16)


def made(
    signals: Sequence[Signal], records: Sequence[bytes], *, kind: str = "", count: int | None = None,
    duration: str = "1", magic: bytes = b"0       ",
) -> bytes:  # fmt: skip
    """A file: "Specification of EDF", header record, in its order."""
    fixed = [
        ("X X X X", 80), ("Startdate X X X X", 80), ("01.01.26", 8), ("00.00.00", 8),
        (str(256 * (1 + len(signals))), 8), (kind, 44), (str(len(records) if count is None else count), 8),
        (duration, 8), (str(len(signals)), 4),
    ]  # fmt: skip
    columns = [(0, 16), (None, 80), (1, 8), (2, 8), (3, 8), (4, 8), (5, 8), (None, 80), (6, 8), (None, 32)]
    head = magic + b"".join(text.encode("latin-1").ljust(width) for text, width in fixed)
    for place, width in columns:
        for one in signals:
            head += ("" if place is None else str(one[place])).encode("latin-1").ljust(width)
    return head + b"".join(records)


def shorts(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}h", *values)


def note(onset: str) -> bytes:
    return f"{onset}\x14\x14\x00".encode().ljust(32, b"\x00")


def codes(recording: Recording) -> list[str]:
    return [fault.code for fault in recording.faults]


@pytest.mark.parametrize("name", FILES)
def test_every_sample_is_the_reference_librarys(name: str, recordings: Path) -> None:
    path = recordings / "devices" / "edf" / name
    found = edf.decode(path.read_bytes())
    record = edfio.read_bdf(path) if name.endswith("bdf") else edfio.read_edf(path)
    assert found.format == path.suffix[1:] and found.faults == ()
    for channel, signal in zip(found.channels, record.signals, strict=True):
        (one,) = channel.stretches
        assert (channel.name, channel.rate_hz, channel.length) == (
            signal.label, signal.sampling_frequency, len(signal.digital))  # fmt: skip
        there = one.samples != np.iinfo(one.samples.dtype).min
        np.testing.assert_array_equal(one.samples[there], np.asarray(signal.digital)[there])
        np.testing.assert_allclose(
            one.samples[there] * one.gain + one.offset, signal.data[there], rtol=1e-9, atol=1e-9)


def test_scale_units_and_the_lowest_value() -> None:
    micro = ("ECG V5", "\xb5V", "-3276.8", "3276.7", "-32768", "32767", 2)
    found = edf.decode(made([ECG, micro], [shorts(0, 1000, -1000, 5000, -32768, 7)]))
    first, second = found.channels
    assert (first.name, first.unit, first.rate_hz) == ("ECG II", "mV", 4.0)
    one = first.stretches[0]
    np.testing.assert_allclose(one.samples * one.gain + one.offset, [0, 1, -1, 5])
    assert second.unit == "uV" and second.stretches[0].samples.tolist() == [-32768, 7]
    assert second.stretches[0].gain == pytest.approx(0.1) and found.faults == ()


def test_an_inverted_scale_is_legal_and_an_empty_one_a_fault() -> None:
    turned = ("ECG II", "mV", "5", "-5", "-5000", "5000", 1)
    assert edf.decode(made([turned], [shorts(1000)])).channels[0].stretches[0].gain == pytest.approx(-0.001)
    for ends in (("1", "1", "-5", "5"), ("-1", "1", "5", "5"), ("-1", "one", "-5", "5"), ("1e99", "2e99", "0", "1")):
        found = edf.decode(made([("ECG II", "mV", *ends, 1)], [shorts(1000)]))
        assert codes(found) == ["scale"], ends


def test_bdf_has_24_bits() -> None:
    data = b"".join(int(value).to_bytes(3, "little", signed=True) for value in (1, -1, 8_388_607, -8_388_608))
    found = edf.decode(made([ECG], [data], magic=b"\xffBIOSEMI", kind="24BIT"))
    assert found.channels[0].stretches[0].samples.tolist() == [1, -1, 8_388_607, -(2**31)]


def test_rates_are_exact_and_a_record_may_last_any_time() -> None:
    for duration, samples, rate in (("0.1", 25, 250.0), ("2.5", 640, 256.0), ("9.59375", 307, 32.0)):
        found = edf.decode(made([(*ECG[:6], samples)], [shorts(*range(samples))] * 2, duration=duration))
        assert found.channels[0].rate_hz == rate and found.channels[0].length == 2 * samples


# EDF+D


def discontinuous(onsets: Sequence[str], *, kind: str = "EDF+D") -> Recording:
    records = [shorts(4 * n, 4 * n + 1, 4 * n + 2, 4 * n + 3) + note(at) for n, at in enumerate(onsets)]
    return edf.decode(made([ECG, NOTES], records, kind=kind))


def stretches(recording: Recording) -> list[tuple[int, list[int]]]:
    (channel,) = recording.channels
    return [(one.first_sample, one.samples.tolist()) for one in channel.stretches]


def test_records_of_one_run_follow_each_other_and_gaps_are_gaps() -> None:
    assert stretches(discontinuous(["+0", "+1", "+5.5", "+6.5"])) == [(0, [*range(8)]), (22, [*range(8, 16)])]
    assert stretches(discontinuous(["+10.25", "+11.25", "+13.25"])) == [(0, [*range(8)]), (12, [8, 9, 10, 11])]


def test_a_millisecond_is_no_gap_and_adds_up_to_none() -> None:
    found = discontinuous([f"+{n}.{n % 2:03d}" for n in range(6)])
    assert stretches(found) == [(0, [*range(24)])] and found.faults == ()


def test_without_a_d_the_records_are_one() -> None:
    assert stretches(discontinuous(["+0", "+5"], kind="EDF+C")) == [(0, [*range(8)])]


def test_records_without_a_time_or_against_it_are_named() -> None:
    found = discontinuous(["+0", "what", "+2"])
    assert stretches(found) == [(0, [0, 1, 2, 3]), (8, [8, 9, 10, 11])] and codes(found) == ["record_untimed"]
    found = discontinuous(["+0", "+10", "+3", "+11"])
    assert codes(found) == ["record_out_of_order"]
    assert stretches(found) == [(0, [0, 1, 2, 3]), (40, [4, 5, 6, 7]), (44, [12, 13, 14, 15])]
    found = discontinuous(["+0", "+0.5"])
    assert codes(found) == ["record_overlaps"] and stretches(found) == [(0, [*range(8)])]
    untimed = edf.decode(made([ECG], [shorts(1, 2, 3, 4)], kind="EDF+D"))
    assert codes(untimed) == ["record_untimed"] and untimed.channels[0].stretches == ()
    with pytest.raises(RecordingTooLarge):
        discontinuous(["+0", "+999999999999"])


# Damaged and hostile


def test_every_truncation_gives_what_is_there() -> None:
    data = made([ECG, (*ECG[:6], 2)], [shorts(1, 2, 3, 4, 10, 20), shorts(5, 6, 7, 8, 30, 40)])
    begin = 256 * 3
    for cut in range(len(data)):
        if cut < begin:
            with pytest.raises(RecordingError):
                edf.decode(data[:cut])
            continue
        found = edf.decode(data[:cut])
        there = (cut - begin) // 2
        first = [*range(1, 5)][:there] + [*range(5, 9)][: max(0, there - 6)]
        second = [10, 20][: max(0, there - 4)] + [30, 40][: max(0, there - 10)]
        assert [[x for s in one.stretches for x in s.samples.tolist()] for one in found.channels] == [first, second]
        told = {one.channel: (one.first_sample, one.end_sample) for one in found.faults if one.code == "truncated"}
        missing = {0: (len(first), 8), 1: (len(second), 4)}
        assert told == {place: span for place, span in missing.items() if span[0] < span[1]}


def test_a_recorder_that_was_stopped_did_not_count() -> None:
    found = edf.decode(made([ECG], [shorts(1, 2, 3, 4), shorts(5, 6)], count=-1))
    assert found.channels[0].stretches[0].samples.tolist() == [1, 2, 3, 4, 5, 6]
    assert [(one.code, one.first_sample, one.end_sample) for one in found.faults] == [("truncated", 6, 8)]
    more = edf.decode(made([ECG], [shorts(1, 2, 3, 4), shorts(5, 6)], count=1))
    assert more.channels[0].length == 4 and codes(more) == ["trailing_bytes"]


@pytest.mark.parametrize(
    ("at", "text", "where"),
    [
        (0, "1", "version"), (184, "512x", "header_bytes"), (184, "1024", "header_bytes"), (236, "-2", "records"),
        (236, "many", "records"), (244, "-1", "record_duration"), (244, "0", "record_duration"),
        (244, "nan", "record_duration"), (252, "0", "signals"), (252, "9999", "signals"), (252, "-1", "signals"),
        (472, "0", "samples"), (472, "-4", "samples"), (472, "99999999", "samples"),
    ],
)  # fmt: skip
def test_a_header_that_cannot_be_read_names_its_field(at: int, text: str, where: str) -> None:
    data = bytearray(made([ECG], [shorts(1, 2, 3, 4)]))
    width = 4 if at == 252 else 8
    data[at : at + width] = text.encode().ljust(width)
    with pytest.raises(RecordingHeader) as refused:
        edf.decode(bytes(data))
    assert refused.value.params == {"where": where}


def test_only_annotations_are_no_channel() -> None:
    assert edf.decode(made([NOTES], [note("+0")], kind="EDF+C", duration="0")).channels == ()


@given(st.data())
def test_any_change_of_a_file_is_read_or_refused(data: st.DataObject) -> None:
    notes = (*NOTES[:6], 16)
    good = made([ECG, notes], [shorts(1, 2, 3, 4) + note(f"+{n}") for n in range(4)], kind="EDF+D")
    broken = bytearray(good)
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(good) - 1))
        value = data.draw(st.one_of(st.binary(min_size=1, max_size=8), st.from_regex(r"[0-9 .+-]{1,8}", fullmatch=True)
                                    .map(str.encode)))  # fmt: skip
        broken[at : at + len(value)] = value
    cut = bytes(broken[: data.draw(st.integers(0, len(broken)))])
    try:
        found = edf.decode(cut)
    except RecordingError:
        return
    for channel in found.channels:
        ends = [0, *(one.end_sample for one in channel.stretches)]
        assert all(one.first_sample >= end for one, end in zip(channel.stretches, ends, strict=False))
        assert sum(one.samples.size for one in channel.stretches) <= len(cut)


@given(st.binary(max_size=600))
def test_any_bytes_behind_a_magic_are_read_or_refused(data: bytes) -> None:
    for magic in (b"0       ", b"\xffBIOSEMI", b""):
        try:
            edf.decode(magic + data)
        except RecordingError as error:
            assert error.code in ("recording_header", "recording_too_large")

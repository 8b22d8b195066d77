"""``telemed analyze``: one JSON object or a table in the terminal's language, a trend, refusals that say what to do."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from edfio import Edf, EdfSignal
from telemed_devices.recording import RecordingError

from telemed.cli.analyze import table
from telemed.cli.errors import RecordingNotOpened
from telemed.cli.recording_file import open_recording
from telemed.cli.sentences import LANGUAGES, line, sentence
from telemed.vitals.recorded.summary import NAMED

RATE_HZ = 250
SECONDS = 20
PATIENCE_SECONDS = 120


def telemed(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG"))}
    return subprocess.run(
        [sys.executable, "-m", "telemed", "analyze", *map(str, arguments)], env={**plain, **environment},
        capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False,
    )  # fmt: skip


def refusal(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 1 and done.stdout == "", done
    assert done.stderr.count("\n") == 1, done.stderr
    found = re.search(r" \[([a-z_]+)\]\n\Z", done.stderr)
    assert found is not None, done.stderr
    return found[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One record of 72 beats a minute, as WFDB and as EDF."""
    place = tmp_path_factory.mktemp("records")
    t = np.arange(SECONDS * RATE_HZ) / RATE_HZ
    x = 0.01 * np.random.default_rng(1).normal(size=t.size)
    for peak in np.arange(0.5, SECONDS, 60 / 72):
        x += np.exp(-0.5 * ((t - peak) / 0.011) ** 2) + 0.25 * np.exp(-0.5 * ((t - peak - 0.27) / 0.045) ** 2)
    counts = np.rint(200 * x).astype("<i2")
    (place / "r.dat").write_bytes(counts.tobytes())
    (place / "r.hea").write_text(f"r 1 {RATE_HZ} {t.size}\nr.dat 16 200 16 0 {counts[0]} {counts.sum()} 0 II\n")
    signal = EdfSignal.from_digital(
        counts, RATE_HZ, label="ECG II", physical_dimension="mV", physical_range=(-5, 5), digital_range=(-1000, 1000))
    Edf([signal]).write(place / "r.edf")
    return place


def test_json_is_all_that_is_printed_and_every_spelling_of_a_record_is_the_same(folder: Path) -> None:
    done = telemed(folder / "r.hea", "--json", "--block-ms", "77")
    assert done.returncode == 0 and done.stderr == "" and done.stdout.count("\n") == 1
    found = json.loads(done.stdout)
    assert found["faults"] == [] and found["format"] == "wfdb" and found["seconds"] == SECONDS
    (channel,) = found["channels"]
    assert {"name", "rate_hz", "beats", "heart_rate_bpm", "respiration_per_min", "quality"} <= channel.keys()
    assert (channel["name"], channel["rate_hz"], channel["heart_rate_bpm"]) == ("II", RATE_HZ, 72)
    assert channel["respiration_per_min"] is None and len(channel["beats"]) == pytest.approx(24, abs=1)
    as_edf = json.loads(telemed(folder / "r.edf", "--json").stdout)["channels"][0]
    assert as_edf["name"] == "ECG II" and as_edf["beats"] == channel["beats"]


@pytest.mark.parametrize("name", ["r.hea", "r.dat", "r"])
def test_a_record_is_found_by_any_of_its_names(name: str, folder: Path) -> None:
    opened = open_recording(folder / name)
    assert opened.recording.channels[0].length == SECONDS * RATE_HZ
    assert opened.files == {(folder / "r.hea").resolve(), (folder / "r.dat").resolve()}


def test_the_trend_has_a_row_a_second(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "trend.csv"
    done = telemed(folder / "r.hea", "--trend", out)
    assert done.returncode == 0
    head, *rows = csv.reader(out.read_text().splitlines())
    assert head == ["second", "II heart_rate_bpm", "II quality", "respiration_per_min"]
    assert [row[0] for row in rows] == [str(second) for second in range(1, SECONDS + 1)]
    assert rows[0][1] == "" and rows[-1][1] == "72" and float(rows[-1][2]) > 0.8


@pytest.mark.parametrize(("locale", "said"), [("bg_BG.UTF-8", "Канал ЕКГ Изчислено"), ("C", "Channel ECG Derived")])
def test_the_table_is_in_the_terminals_language(locale: str, said: str, folder: Path) -> None:
    done = telemed(folder / "r.edf", LANG=locale)
    assert done.returncode == 0 and done.stderr == ""
    assert all(word in done.stdout for word in said.split()) and re.search(r"ECG II .* 250 .* 72 .* --", done.stdout)


def test_a_long_list_of_faults_is_cut_in_the_table_alone() -> None:
    fault = {"code": "gap", "channel": "II", "channel_index": 0, "first_sample": 5, "end_sample": 9, "reason": ""}
    lines = table({"channels": [], "respiration_per_min": None, "faults": [fault] * 40}, "en")
    assert sum("5–9" in text for text in lines) == 12 and any("28 more" in text for text in lines)


def test_what_cannot_be_opened_has_a_code(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("no recording")
    (tmp_path / "x.hea").write_text("x 1 250 10\ny.dat 16\n")
    (tmp_path / "flac.hea").write_text("flac 1 250 10\nflac.dat 516\n")
    (tmp_path / "flac.dat").write_bytes(b"fLaC")
    (tmp_path / "bad.edf").write_bytes(b"0       ")
    os.mkfifo(tmp_path / "pipe.edf")
    for name, code in (
        ("nothing.edf", "recording_not_opened"), (".", "recording_not_opened"), ("pipe.edf", "recording_not_opened"),
        ("note.txt", "recording_unknown"), ("x.hea", "recording_file_missing"), ("flac.hea", "recording_format"),
        ("bad.edf", "recording_header"),
    ):  # fmt: skip
        with pytest.raises((RecordingError, RecordingNotOpened)) as refused:
            open_recording(tmp_path / name)
        assert refused.value.code == code
        spoken = [line(code, refused.value.params, language) for language in LANGUAGES]
        assert not any("{" in text for text in spoken)


def test_a_refusal_is_one_line(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.edf").write_bytes(b"0       ")
    assert refusal(telemed(tmp_path / "bad.edf", LANG="bg_BG.UTF-8")) == "recording_header"
    assert refusal(telemed(folder / "r.hea", "--block-ms", "0")) == "settings_invalid"
    assert refusal(telemed(folder / "r.hea", "--channel", "V9")) == "channel_unknown"
    assert refusal(telemed(folder / "r.hea", "--trend", tmp_path / "no" / "t.csv")) == "trend_unwritable"
    before = (folder / "r.dat").read_bytes()
    assert refusal(telemed(folder / "r.hea", "--trend", folder / "r.dat")) == "trend_unwritable"
    assert (folder / "r.dat").read_bytes() == before


DECODERS = (
    "truncated", "checksum", "uncalibrated", "scale", "file_missing", "format_unsupported", "segment_differs",
    "more_faults", "trailing_bytes", "record_untimed", "record_out_of_order", "record_overlaps",
)  # fmt: skip
REFUSED = ("kind_unknown", "unit_unknown", "no_samples", "rate_unsupported", "gap")


@pytest.mark.parametrize("spoken", LANGUAGES)
def test_every_code_has_words(spoken: str) -> None:
    from telemed_web import words

    for error in (RecordingError, *RecordingError.__subclasses__()):
        assert sentence(error.code, {}, spoken) != error.code
    for code in (*DECODERS, *REFUSED, *NAMED):
        assert words(f"quality.{code}", {}, spoken)

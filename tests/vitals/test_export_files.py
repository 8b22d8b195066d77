"""A window as EDF+, WFDB and CSV: read back by the programs of others, sample for sample, holes as holes."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import edfio
import numpy as np
import pytest
import wfdb
from telemed_devices.gatt import encode_heart_rate

from telemed.http import keys
from telemed.vitals.clock import Fix
from telemed.vitals.export import bundle, parts
from telemed.vitals.export.edf import scale_of
from telemed.vitals.export.text import ascii_of
from telemed.vitals.fixes import moment, write_fix
from telemed.vitals.live import Channel
from telemed.vitals.storage.compactor import compact_once

MISSING = -(2**15)


class Exported:
    """A visit with a measured ECG of 41.3 s with holes, a wide pleth, a pulse, and one signal that is simulated."""

    def __init__(self, clinic: Any) -> None:
        self.clinic = clinic
        self.visit: Any = None
        self.ecg: Any = None
        self.pleth: Any = None
        self.there = np.ones(20_650, bool)

    async def get(self, format_: str, **query: Any) -> tuple[int, Any]:
        path = f"/api/v1/consultations/{self.visit.consultation}/export"
        span = {"from_us": self.ecg.started_us, "to_us": self.ecg.started_us + 60_000_000}
        async with self.clinic.clinician.http.get(path, params={"format": format_, **span, **query}) as response:
            body = await response.read()
            if response.status != 200:
                return response.status, json.loads(body)["error"]["code"]
            assert response.content_type == "application/zip"
            assert response.headers["Content-Disposition"].startswith("attachment; filename=")
            return 200, zipfile.ZipFile(io.BytesIO(body))


async def stored(clinic: Any, count: int) -> None:
    for _ in range(2000):
        async with clinic.server.database.connection() as connection:
            if await connection.fetchval("select count(*) from chunk") == count:
                return
        await asyncio.sleep(0.01)
    raise AssertionError("not everything was stored")


@pytest.fixture(params=["hot", "compacted"])
async def exported(clinic: Any, support: Any, request: Any) -> Exported:
    made = Exported(clinic)
    made.visit = await clinic.visit()
    station = await clinic.station(answers_clock=False)
    start = support.now_us() - 100_000_000 + 123_456 - support.now_us() % 1_000_000
    database, seed = clinic.server.database, clinic.server.seed
    await write_fix(database, station.source, seed.station_id, Fix(start, 0, 0), None)
    async with database.connection() as connection:
        opened = moment(start - 1_000_000)
        await connection.execute(
            "update attachment set opened_at = $2 where id = $1", UUID(made.visit.attachment), opened)
    made.ecg = support.ecg(1, start, 41.3)
    made.ecg.n = 50
    made.ecg.samples[1, 7_010:7_020] = MISSING  # an electrode off
    made.ecg.samples[0, 100], made.ecg.samples[0, 101] = 32_767, -32_767
    gone = [40, 41, *range(100, 151), 300]  # chunks of 50 samples: 0.2 s, 5.1 s and 0.1 s
    await clinic.announced(station, made.ecg, made.visit.attachment, origin="measured")
    for seq in range(made.ecg.chunks):
        if seq in gone:
            made.there[seq * 50 : seq * 50 + 50] = False
        else:
            await station.socket.send_bytes(made.ecg.packed(seq))
    wide = np.cumsum(np.random.default_rng(3).integers(-9_000, 9_000, (1, 1_250)), axis=1).astype(np.int32)
    wide[0, 7] = 3_000_000
    made.pleth = support.Wave(2, "pleth", ("infrared",), 125, 125, wide, start, device="Пулсоксиметър", unit="1")
    await clinic.announced(station, made.pleth, made.visit.attachment, origin="measured", rate=[125, 2])
    for seq in range(made.pleth.chunks):
        await station.socket.send_bytes(made.pleth.packed(seq, t0_us=start + seq * 2_000_000))
    pulse = support.Numbers(3, "heart_rate", "gatt:2a37", start)
    said = pulse.announce(made.visit.attachment)
    said["stream"]["origin"] = "measured"
    await station.send(said)
    await station.said("announced", lambda one: one["number"] == 3)
    for seq in range(5):
        await station.socket.send_bytes(pulse.packed(seq, encode_heart_rate(70 + seq), start + seq * 1_000_000))
    played = support.Wave(4, "respiration", ("chest",), 50, 50, support.noise(1, 3.0, 50), start)
    await clinic.announced(station, played, made.visit.attachment, origin="simulated")
    for seq in range(played.chunks):
        await station.socket.send_bytes(played.packed(seq))
    await stored(clinic, made.ecg.chunks - len(gone) + made.pleth.chunks + 5 + played.chunks)
    if request.param == "compacted":
        await compact_once(database, clinic.server.app[keys.SEALER], all_of_it=True)
    return made


def expected(exported: Exported) -> Any:
    return np.where(exported.there, exported.ecg.samples, MISSING)


def laid_out(archive: zipfile.ZipFile, folder: Path) -> Path:
    archive.extractall(folder)
    return folder


async def test_edf_is_read_back_by_edfio(exported: Exported, tmp_path: Path) -> None:
    status, code = await exported.get("edf")
    assert (status, code) == (409, "export_too_wide"), "the wide pleth has more than 16 bits"
    async with exported.clinic.server.database.connection() as connection:
        await connection.execute("update stream set origin = 'simulated' where kind = 'pleth'")
    status, archive = await exported.get("edf")
    assert status == 200, archive
    assert archive.namelist() == ["ecg-001.edf", "numbers.csv", "manifest.json"]
    folder = laid_out(archive, tmp_path)
    edf = edfio.read_edf(folder / "ecg-001.edf")
    assert edf.reserved == "EDF+C" and edf.labels == ("ECG I", "ECG II", "ECG V1")
    begin = moment(exported.ecg.started_us)
    assert edf.startdatetime == begin.replace(tzinfo=None)
    assert edf.num_data_records == 42 and edf.data_record_duration == 1
    want = expected(exported)
    for signal, samples in zip(edf.signals, want, strict=True):
        assert (signal.sampling_frequency, signal.physical_dimension) == (500, "uV")
        np.testing.assert_array_equal(signal.digital[: want.shape[1]], samples)
        assert (signal.digital[want.shape[1] :] == MISSING).all()
        np.testing.assert_allclose(signal.data[: want.shape[1]][exported.there],
                                   samples[exported.there] * 1.25, rtol=0, atol=1e-9)
    told = [(round(one.onset, 6), one.duration, one.text) for one in edf.annotations]
    assert told == [(4.0, 0.2, "Gap"), (10.0, 5.1, "Gap"), (30.0, 0.1, "Gap"), (41.3, 0.7, "End of signal")]
    assert edf.patient.name == "X" and edf.recording.equipment_code == "Demo_device"


async def test_wfdb_is_read_back_by_wfdb(exported: Exported, tmp_path: Path) -> None:
    status, archive = await exported.get("wfdb")
    assert status == 200, archive
    names = [f"{part}.{ending}" for part in ("ecg-001", "pleth-001") for ending in ("dat", "hea", "atr")]
    assert archive.namelist() == [*names, "numbers.csv", "manifest.json"]
    folder = laid_out(archive, tmp_path)
    for name, wave, want in (("ecg-001", exported.ecg, expected(exported)), ("pleth-001", exported.pleth,
                                                                           exported.pleth.samples)):
        record = wfdb.rdrecord(str(folder / name), physical=False)
        got = record.d_signal.T
        missing = want == MISSING if name == "ecg-001" else np.zeros(want.shape, bool)
        np.testing.assert_array_equal(np.where(missing, 0, got), np.where(missing, 0, want))
        assert (got[missing] == -(2**31)).all() and record.fmt == ["32"] * want.shape[0]
        assert record.base_datetime == moment(wave.started_us).replace(tzinfo=None)
        assert record.sig_name == list(wave.names)
        physical = wfdb.rdrecord(str(folder / name)).p_signal.T
        assert np.isnan(physical[missing]).all()
        np.testing.assert_allclose(physical[~missing], want[~missing] * 1.25, rtol=1e-12)
    assert wfdb.rdheader(str(folder / "ecg-001")).fs == 500 and wfdb.rdheader(str(folder / "pleth-001")).fs == 62.5
    notes = wfdb.rdann(str(folder / "ecg-001"), "atr")
    assert notes.sample.tolist() == [2000, 5000, 15000] and notes.symbol == ['"'] * 3
    assert [one.rstrip("\x00") for one in notes.aux_note] == [
        "Gap of 100 samples", "Gap of 2550 samples", "Gap of 50 samples"]


async def test_wfdb_has_sixteen_bits_where_they_are_enough(exported: Exported, tmp_path: Path) -> None:
    async with exported.clinic.server.database.connection() as connection:
        await connection.execute("update stream set origin = 'recording' where kind = 'pleth'")
    folder = laid_out((await exported.get("wfdb"))[1], tmp_path)
    record = wfdb.rdrecord(str(folder / "ecg-001"), physical=False)
    assert record.fmt == ["16"] * 3 and record.comments[2] == "origin: measured"
    np.testing.assert_array_equal(record.d_signal.T, expected(exported))
    before = record.checksum
    assert before == [int(one) % 65536 for one in record.calc_checksum()] or [
        one % 65536 for one in before] == [int(one) % 65536 for one in record.calc_checksum()]


async def test_csv_has_a_row_a_sample_and_empty_cells(exported: Exported) -> None:
    status, archive = await exported.get("csv")
    assert status == 200, archive
    text = archive.read("ecg-001.csv").decode()
    assert text.count("\r\n") == 20_651 and "\n" not in text.replace("\r\n", "")
    rows = list(csv.reader(io.StringIO(text)))
    assert rows[0] == ["sample", "time_utc", "seconds", "I [uV]", "II [uV]", "V1 [uV]"]
    want = expected(exported)
    got = np.array([[MISSING if cell == "" else round(float(cell) / 1.25) for cell in row[3:]] for row in rows[1:]]).T
    np.testing.assert_array_equal(got, want)
    begin = moment(exported.ecg.started_us).replace(tzinfo=None)
    assert rows[1][:3] == ["0", begin.isoformat(timespec="microseconds") + "Z", "0.000000"]
    assert rows[502][0] == "501" and rows[502][2] == "1.002000"
    pleth = list(csv.reader(io.StringIO(archive.read("pleth-001.csv").decode())))
    assert [float(row[3]) for row in pleth[1:]] == (exported.pleth.samples[0] * 1.25).tolist()
    assert pleth[2][2] == "0.016000"
    numbers = list(csv.reader(io.StringIO(archive.read("numbers.csv").decode())))
    assert [row[1:4] for row in numbers[1:]] == [["heart_rate", str(70 + at), "/min"] for at in range(5)]


async def test_the_manifest_says_what_is_in_it_and_names_nobody_unasked(exported: Exported) -> None:
    name = None
    for identified in ("0", "1"):
        archive = (await exported.get("csv", identified=identified))[1]
        manifest = json.loads(archive.read("manifest.json"))
        assert [one["name"] for one in manifest["files"]] == ["ecg-001", "pleth-001"]
        assert manifest["files"][0]["gaps"][1] == {"first_sample": 5000, "samples": 2550}
        assert manifest["left_out"] == [{"kind": "respiration", "device": "Demo device", "origin": "simulated"}]
        whole = b"".join(archive.read(one) for one in archive.namelist()).decode()
        assert ("Demo patient 1" in whole) == (identified == "1")
        name = manifest.get("patient", {}).get("name")
    assert name is not None
    async with exported.clinic.server.database.connection() as connection:
        rows = await connection.fetch(
            "select detail, outcome from audit_event where action = 'review.export' order by id")
    details = [json.loads(row["detail"]) for row in rows]
    assert [(one["format"], one["identified"]) for one in details] == [("csv", False), ("csv", True)]
    assert list(exported.clinic.server.app[keys.SETTINGS].home.joinpath("tmp").iterdir()) == [], "nothing is left"


async def test_an_identified_edf_names_the_patient_in_ascii(exported: Exported, tmp_path: Path) -> None:
    async with exported.clinic.server.database.connection() as connection:
        await connection.execute("update stream set origin = 'recording' where kind = 'pleth'")
    folder = laid_out((await exported.get("edf", identified="1"))[1], tmp_path)
    assert edfio.read_edf(folder / "ecg-001.edf").patient.name == "Demo_patient_1_Kanarche_Canary"


async def test_what_was_not_measured_is_not_exported(exported: Exported) -> None:
    async with exported.clinic.server.database.connection() as connection:
        await connection.execute("update stream set origin = 'recording'")
    assert await exported.get("csv") == (409, "export_not_measured")
    assert await exported.get("edf", from_us=0, to_us=1_000_000) == (404, "export_empty")


async def test_a_window_that_is_too_long_is_refused(exported: Exported, monkeypatch: Any) -> None:
    assert await exported.get("wfdb", to_us=exported.ecg.started_us + 86_400_000_001) == (400, "export_too_long")
    assert await exported.get("wfdb", to_us=exported.ecg.started_us) == (400, "export_too_long")
    monkeypatch.setattr(bundle, "CSV_VALUES", 1000)
    assert await exported.get("csv") == (400, "export_too_long")
    assert (await exported.get("wfdb"))[0] == 200


async def test_a_long_hole_begins_a_new_file(exported: Exported, monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.setattr(parts, "HOLE_US", 1_000_000)
    folder = laid_out((await exported.get("wfdb"))[1], tmp_path)
    first = wfdb.rdrecord(str(folder / "ecg-001"), physical=False)
    second = wfdb.rdrecord(str(folder / "ecg-002"), physical=False)
    want = expected(exported)
    np.testing.assert_array_equal(np.where(first.d_signal.T == -(2**31), MISSING, first.d_signal.T), want[:, :5000])
    np.testing.assert_array_equal(np.where(second.d_signal.T == -(2**31), MISSING, second.d_signal.T), want[:, 7550:])
    assert second.base_datetime == moment(exported.ecg.started_us + 15_100_000).replace(tzinfo=None)


async def test_a_file_is_an_hour_at_most_and_blocks_of_work_do_not_show(
    exported: Exported, monkeypatch: Any, tmp_path: Path
) -> None:
    monkeypatch.setattr(parts, "FILE_US", 10_000_000)
    monkeypatch.setattr(bundle, "BLOCK_SAMPLES", 777)
    folder = laid_out((await exported.get("wfdb"))[1], tmp_path)
    names = sorted(one.stem for one in folder.glob("ecg-*.dat"))
    got = np.concatenate([wfdb.rdrecord(str(folder / name), physical=False).d_signal.T for name in names], axis=1)
    np.testing.assert_array_equal(np.where(got == -(2**31), MISSING, got)[:, :5000], expected(exported)[:, :5000])
    assert len(names) >= 5


async def test_the_operator_may_not_export(exported: Exported) -> None:
    path = f"/api/v1/consultations/{exported.visit.consultation}/export?format=csv&from_us=0&to_us=5"
    assert (await exported.clinic.operator.get(path))[0] == 403
    assert (await (await exported.clinic.server.anonymous()).get(path))[0] == 401


def channels() -> Iterator[tuple[Channel, float]]:
    yield Channel("I", "uV", 1.25, 0.0), 0.0
    yield Channel("I", "mV", 0.0048828125, 0.0), 1e-6
    yield Channel("I", "V", 1e-6, 0.0), 1e-6
    yield Channel("I", "1", 1 / 3, 17.5), 2e-6
    yield Channel("I", "uV", -2.5, 0.0), 0.0


@pytest.mark.parametrize(("channel", "error"), list(channels()), ids=repr)
def test_the_ends_of_edf_lose_little(channel: Channel, error: float) -> None:
    scale = scale_of(channel)
    assert scale.gain_error <= error and len(f"{scale.low:g}") <= 8


def test_text_becomes_ascii() -> None:
    assert ascii_of("Щъркелова Юлия, 5 µV ☃", 40) == "Shtarkelova Yuliya, 5 uV ?"
    assert ascii_of("abc", 2) == "ab"


def test_a_nameless_file_is_the_accounts_alone(tmp_path: Path) -> None:
    (tmp_path / bundle.FOLDER).mkdir()
    with bundle._nameless(tmp_path) as file:
        assert stat.S_IMODE(Path(f"/proc/self/fd/{file.fileno()}").stat().st_mode) == 0o600
        assert list((tmp_path / bundle.FOLDER).iterdir()) == []

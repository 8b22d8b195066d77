"""A day of a real 12-lead ECG in a database, as stations' chunks, as an hour of them is on its way to the compactor."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import numpy as np
from telemed_devices.native import Frame, pack_frame

from telemed.consultation import consultations
from telemed.identity import accounts, organisations, stations
from telemed.identity.passwords import hash_password
from telemed.patient import attachments, patients
from telemed.patient.patients import Person
from telemed.store.database import Connection, Database
from telemed.store.sealing import DataKey, Sealer
from telemed.vitals.clock import Fix
from telemed.vitals.fixes import micros, write_fix
from telemed.vitals.storage.contexts import chunk_context

RATE = 500
PER_CHUNK = 100  # 200 ms
LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
COPIED = 2_000  # rows of one COPY
LOGIN = "benchmark"


@dataclass(frozen=True)
class World:
    """A consultation with a patient's key and a day that ends now."""

    consultation: UUID
    organisation: UUID
    station: int
    attachment: UUID
    patient_key: bytes
    source: UUID
    begin_us: int


def ecg() -> np.ndarray[Any, np.dtype[np.int16]]:
    """Ten seconds of a real 12-lead ECG at 500 Hz, (12, 5000) int16: the recording in pydicom's own test files."""
    import pydicom
    from pydicom.data import get_testdata_file

    path = get_testdata_file("waveform_ecg.dcm")
    wave = pydicom.dcmread(Path(str(path))).WaveformSequence[0]
    samples = np.frombuffer(wave.WaveformData, "<i2").reshape(-1, wave.NumberOfWaveformChannels).T
    halved = samples[:, : samples.shape[1] // 2 * 2].reshape(len(LEADS), -1, 2).mean(axis=2)
    return np.asarray(np.rint(halved), np.int16)


def hour(tile: np.ndarray[Any, Any], seed: int) -> np.ndarray[Any, np.dtype[np.int16]]:
    """An hour of it: each tile a little stronger or weaker, on a slow wander, with noise of two units."""
    noise = np.random.default_rng(seed)
    tiles = 3600 * RATE // tile.shape[1]
    parts = []
    for number in range(tiles):
        t = (np.arange(tile.shape[1]) + number * tile.shape[1]) / RATE
        wander = 40 * np.sin(2 * np.pi * 0.25 * t)
        parts.append(np.rint(tile * noise.uniform(0.9, 1.1) + wander + noise.normal(0, 2, tile.shape)).astype(np.int16))
    return np.concatenate(parts, axis=1)


async def world(database: Database, sealer: Sealer, password: str, hours: int) -> World:
    """People, a station, a live consultation whose attachment began with the day."""
    begin = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=hours)
    async with database.transaction() as connection:
        organisation = await organisations.create(connection, "Benchmark")
        clinician = await accounts.create(
            connection, organisation, LOGIN, "Benchmark", hash_password(password), ["clinician"])
        station = await stations.create(connection, sealer, organisation, "Benchmark", "Benchmark")
        patient = await patients.create(connection, sealer, organisation, Person("Benchmark", 1950))
        made = await consultations.create(connection, sealer, patient, station, clinician.id, None)
        opened, _ = await attachments.open_next(
            connection, organisation, station.id, patient.id, made.id, clinician.id)
        await connection.execute("update attachment set opened_at = $2 where id = $1", opened.id, begin)
        wrapped = await connection.fetchval("select key_wrapped from patient where id = $1", patient.id)
        key = sealer.unwrap(bytes(wrapped))
    source, begin_us = uuid4(), micros(begin)
    await write_fix(database, source, station.id, Fix(begin_us, 0, 100), None)
    return World(made.id, organisation, station.id, opened.id, key, source, begin_us)


async def store_hour(
    database: Database, sealer: Sealer, where: World, number: int, samples: np.ndarray[Any, np.dtype[np.int16]]
) -> int:
    """One epoch of an hour as hot chunks; returns how long it took in seconds, database and all, rounded."""
    began, data_key = time.monotonic(), sealer.new_key()
    started_us = where.begin_us + number * 3_600_000_000
    born = datetime.fromtimestamp(started_us / 1e6, UTC)
    async with database.connection() as connection:
        channels = json.dumps([{"name": lead, "unit": "uV", "gain": 1.25, "offset": 0.0} for lead in LEADS])
        stream_id = await connection.fetchval(
            "insert into stream (organisation_id, station_id, number, epoch, device, kind, format, origin, source, "
            "rate_num, rate_den, channels, attachment_id, born, started_us, key_wrapped) values ($1, $2, $3, $4, "
            "'Benchmark', 'ecg', 'native', 'measured', $5, $6, 1, $7::jsonb, $8, $9, $10, $11) returning id",
            where.organisation, where.station, number, uuid4(), where.source, RATE, channels, where.attachment, born,
            started_us, sealer.wrap(data_key, where.patient_key),
        )
        rows = _rows(stream_id, born, DataKey(data_key), number, started_us, samples)
        while part := [row for _, row in zip(range(COPIED), rows, strict=False)]:
            await _copy(connection, part)
    return round(time.monotonic() - began)


async def _copy(connection: Connection, rows: list[Any]) -> None:
    columns = ["stream_id", "born", "seq", "t0_us", "first_sample", "n", "nonce", "sealed"]
    await connection.copy_records_to_table("chunk", records=rows, columns=columns)


def _rows(
    stream_id: int, born: datetime, key: DataKey, number: int, started_us: int, samples: np.ndarray[Any, Any]
) -> Iterator[tuple[Any, ...]]:
    for seq in range(samples.shape[1] // PER_CHUNK):
        first = seq * PER_CHUNK
        t0_us = started_us + first * 1_000_000 // RATE
        frame = pack_frame(Frame(number, seq, first, t0_us, samples[:, first : first + PER_CHUNK]))
        nonce, sealed = key.seal(frame, chunk_context(stream_id, seq))
        yield stream_id, born, seq, t0_us, first, PER_CHUNK, nonce, sealed

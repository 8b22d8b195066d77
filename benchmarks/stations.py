"""Twenty stations with a watcher each against one server: acknowledgement and block latency, CPU.

The stations are real protocol clients in a process of their own (12 leads at 500 Hz in 200 ms frames, pleth,
respiration, SpO2 each second); a watcher follows the monitor band of its station's ECG. All over loopback.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import psutil
from _report import Row, cpu_seconds, percentile, report
from telemed_devices.envelope import Chunk, pack_chunk
from telemed_devices.gatt import encode_pulse_oximetry
from telemed_devices.native import Frame, pack_frame, unpack_frame

STATIONS = int(os.environ.get("TELEMED_STATIONS", "20"))
SECONDS = float(os.environ.get("TELEMED_SECONDS", "30"))
WARM_SECONDS = 5.0
TICK = 0.2
WAVES = {"ecg": (500, 1, 12, "uV"), "pleth": (125, 1, 1, "1"), "respiration": (125, 2, 1, "1")}


def stamp_us() -> int:
    """This program's clock: the wall, because the server runs on the same machine."""
    return time.time_ns() // 1000


class Station:
    """One station's uplink, and what it measured."""

    def __init__(self, http: aiohttp.ClientSession, url: str, key: str, attachment: str) -> None:
        self._http, self._url, self._key, self._attachment = http, url, key, attachment
        self.sent: dict[tuple[int, int], float] = {}
        self.acknowledged: list[float] = []
        self.number = secrets.randbelow(1 << 30)

    async def run(self, stop: asyncio.Event) -> None:
        """Send a frame of every wave each tick until ``stop``; remember how long each acknowledgement took."""
        headers = {"Authorization": f"Bearer {self._key}"}
        async with self._http.ws_connect(self._url, headers=headers, max_msg_size=1 << 21) as socket:
            await socket.send_json({
                "type": "hello", "protocol": 1, "oldest": 1, "program": "benchmark", "source": str(uuid.uuid4()),
            })
            reader = asyncio.create_task(self._read(socket))
            kinds = [*WAVES, "spo2"]
            for offset, kind in enumerate(kinds):
                await socket.send_json({"type": "announce", "stream": self._stream(kind, offset), "live_from": 0})
            noise = np.random.default_rng(1)
            first = dict.fromkeys(WAVES, 0)
            started = time.monotonic() + secrets.randbelow(200) / 1000
            seq = 0
            while not stop.is_set():
                await asyncio.sleep(max(0.0, started + seq * TICK - time.monotonic()))
                for offset, (kind, (num, den, channels, _)) in enumerate(WAVES.items()):
                    until = int((seq + 1) * TICK * num / den)
                    samples = noise.integers(-300, 300, (channels, until - first[kind])).astype(np.int16)
                    t0 = stamp_us() - int(TICK * 1e6)
                    frame = Frame(self.number + offset, seq, first[kind], t0, samples)
                    first[kind] = until
                    await self._send(socket, self.number + offset, seq, pack_frame(frame))
                if seq % 5 == 0:
                    value = encode_pulse_oximetry(Decimal(97), Decimal(72))
                    chunk = Chunk(self.number + 3, seq // 5, stamp_us(), value)
                    await self._send(socket, self.number + 3, seq // 5, pack_chunk(chunk))
                seq += 1
            reader.cancel()

    def _stream(self, kind: str, offset: int) -> dict[str, Any]:
        stream: dict[str, Any] = {
            "number": self.number + offset, "device": "benchmark", "kind": kind, "epoch": str(uuid.uuid4()),
            "format": "gatt:2a5f", "origin": "simulated", "rate": None, "channels": [],
            "attachment": self._attachment, "started_us": stamp_us(),
        }
        if kind in WAVES:
            num, den, channels, unit = WAVES[kind]
            stream |= {"format": "native", "rate": [num, den], "channels": [
                {"name": f"{kind}{i}", "unit": unit, "gain": 1.0, "offset": 0.0} for i in range(channels)
            ]}
        return stream

    async def _send(self, socket: aiohttp.ClientWebSocketResponse, number: int, seq: int, data: bytes) -> None:
        self.sent[number, seq] = time.perf_counter()
        await socket.send_bytes(data)

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        through: dict[int, int] = {}
        async for message in socket:
            event = json.loads(message.data)
            if event["type"] == "error":
                raise RuntimeError(event)
            if event["type"] == "clock_ask":
                await socket.send_json({"type": "clock", "echo": event["server_us"], "stamp_us": stamp_us()})
            if event["type"] != "ack":
                continue
            now = time.perf_counter()
            number = event["number"]
            for low, high in [(through.get(number, -1) + 1, event["through"] or 0), *event["ranges"]]:
                for seq in range(low, high + 1):
                    if (sent := self.sent.pop((number, seq), None)) is not None:
                        self.acknowledged.append(now - sent)
            through[number] = max(through.get(number, -1), event["through"] or -1)


async def watch(http: aiohttp.ClientSession, url: str, origin: str, consultation: str, late: list[float]) -> None:
    """Follow the monitor band of one consultation's ECG; remember how late the newest sample of each block is."""
    address = f"{url}/ws/consultations/{consultation}"
    async with http.ws_connect(address, headers={"Origin": origin}, max_msg_size=1 << 21) as socket:
        await socket.send_json({"type": "hello", "protocol": 1, "oldest": 1, "source": str(uuid.uuid4())})
        async for message in socket:
            if message.type == aiohttp.WSMsgType.BINARY:
                frame = unpack_frame(message.data)
                newest_us = frame.t0_us + frame.n * 2000  # 500 Hz
                late.append((stamp_us() - newest_us) / 1e6)
                continue
            event = json.loads(message.data)
            if event["type"] == "clock_ask":
                await socket.send_json({"type": "clock", "echo": event["server_us"], "stamp_us": stamp_us()})
            for stream in event.get("streams", []) if event["type"] in ("welcome", "streams") else []:
                if stream["kind"] == "ecg":
                    await socket.send_json({"type": "watch", "stream": stream["stream"], "view": "monitor"})


async def seed(home: Path, address: str) -> list[tuple[str, str, str]]:
    """Stations with a patient each in a live consultation: (key, attachment, consultation)."""
    from telemed.cli.server_client import ServerClient
    from telemed.cli.user import add_account
    from telemed.settings import Settings

    password = secrets.token_urlsafe(12)
    roles = ["clinician", "operator", "administrator"]
    await add_account(Settings(home=home), "benchmark", "Benchmark", password, roles, "Benchmark", "en")
    made = []
    async with ServerClient(address, "benchmark", password) as client:
        for number in range(STATIONS):
            station = await client.post("/api/v1/stations", {"name": f"Station {number}", "place": "Benchmark"})
            key = await client.post(f"/api/v1/stations/{station['id']}/keys", {})
            patient = await client.post(
                "/api/v1/patients", {"name": f"Patient {number}", "birth_year": 1950, "provisional": False}
            )
            consultation = await client.post(
                "/api/v1/consultations", {"patient_id": patient["id"], "station_id": station["id"]}
            )
            attachment = await client.post("/api/v1/attachments", {
                "station_id": station["id"], "patient_id": patient["id"], "consultation_id": consultation["id"],
            })
            await client.post(f"/api/v1/consultations/{consultation['id']}/admit", {})
            made.append((key["key"], attachment["id"], consultation["id"]))
    (home / "benchmark.password").write_text(password)
    return made


async def load(home: Path, port: int, server: psutil.Process) -> list[Row]:
    """Run the load; the figures."""
    address, sockets = f"http://127.0.0.1:{port}", f"ws://127.0.0.1:{port}"
    made = await seed(home, address)
    stop, late = asyncio.Event(), list[float]()
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar, connector=aiohttp.TCPConnector(limit=0)) as http:
        credentials = {"login": "benchmark", "password": (home / "benchmark.password").read_text()}
        async with http.post(f"{address}/api/v1/sign-in", json=credentials, headers={"Origin": address}) as answer:
            answer.raise_for_status()
        stations = [Station(http, f"{sockets}/ws/station", key, attachment) for key, attachment, _ in made]
        running = [asyncio.create_task(station.run(stop)) for station in stations]
        watchers = [asyncio.create_task(watch(http, sockets, address, made[n][2], late)) for n in range(STATIONS)]
        await asyncio.sleep(WARM_SECONDS)
        late.clear()
        for station in stations:
            station.acknowledged.clear()
        before, began, own = cpu_seconds([server]), time.monotonic(), time.process_time()
        await asyncio.sleep(SECONDS)
        wall = time.monotonic() - began
        cpu = (cpu_seconds([server]) - before) / wall * 100
        generator = (time.process_time() - own) / wall * 100
        stop.set()
        await asyncio.gather(*running)
        for watcher in watchers:
            watcher.cancel()
        await asyncio.gather(*watchers, return_exceptions=True)
    acknowledged = [seconds for station in stations for seconds in station.acknowledged]
    label = f"{STATIONS} stations, a watcher each"
    return [
        Row(f"{label}: acknowledgement p50", percentile(acknowledged, 0.5) * 1e3, "ms"),
        Row(f"{label}: acknowledgement p99", percentile(acknowledged, 0.99) * 1e3, "ms"),
        Row(f"{label}: newest sample at the watcher p50", percentile(late, 0.5) * 1e3, "ms"),
        Row(f"{label}: newest sample at the watcher p99", percentile(late, 0.99) * 1e3, "ms"),
        Row(f"{label}: server and database CPU", cpu, "% of a core", "load generator", generator),
        Row(f"{label}: chunks acknowledged", len(acknowledged) / wall, "1/s", "sent", STATIONS * 16.0),
    ]


def main() -> None:
    """Start a server in a new data folder, load it, stop it."""
    port = 18080
    with tempfile.TemporaryDirectory(prefix="telemed-bench-") as folder:
        home = Path(folder) / "home"
        environment = {**os.environ, "TELEMED_HOME": str(home)}
        command = [sys.executable, "-m", "telemed", "serve", "--port", str(port)]
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if "serves at" in line:
                    break
            try:
                rows = asyncio.run(load(home, port, psutil.Process(process.pid)))
            finally:
                process.terminate()
        report("stations", rows)


if __name__ == "__main__":
    main()

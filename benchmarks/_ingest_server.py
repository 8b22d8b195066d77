"""The server under load: `telemed serve` as it is, its stations and patients, and what each of its processes uses."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import psutil
from _parts import cpu_by_part

AT_ONCE: Final = 6  # requests of the seeding
LOGIN: Final = "benchmark"
SEEDED: Final = "benchmark.json"
PARTS: Final = ("server", "database", "compactor")


@dataclass(frozen=True)
class Server:
    """A running server. ``stations`` is (key, attachment, consultation or "") of each station."""

    process: psutil.Process
    home: Path
    port: int
    stations: list[list[str]]
    cookie: str

    def cpu(self) -> dict[str, float]:
        """Seconds of processor time so far, by part."""
        spent = cpu_by_part(self.process)
        return {part: spent[part] for part in PARTS}

    def rss(self) -> int:
        """Bytes of the server's own process in memory."""
        return int(self.process.memory_info().rss)

    def counted(self, name: str) -> float:
        """One counter of ``/metrics``, summed over its labels."""
        return sum(value for _, value in self._lines(name))

    def turns(self) -> dict[float, float]:
        """How many turns of the loop signal work has taken so far, by how long they were at most, in seconds."""
        total: dict[float, float] = {}
        for labels, value in self._lines("telemed_signal_seconds_bucket"):
            bound = float(labels.split('le="', 1)[1].split('"', 1)[0])
            total[bound] = total.get(bound, 0.0) + value
        return total

    def _lines(self, name: str) -> list[tuple[str, float]]:
        """(labels, value) of one metric."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics") as answer:
            lines = (line.rsplit(" ", 1) for line in answer.read().decode().splitlines())
            return [(what, float(value)) for what, value in lines if what == name or what.startswith(f"{name}{{")]


@contextmanager
def running(home: Path, port: int, stations: int, consultations: int) -> Iterator[Server]:
    """A server with so many stations, each with a patient; the first have a live consultation."""
    environment = {**os.environ, "TELEMED_HOME": str(home)}
    command = [sys.executable, "-m", "telemed", "serve", "--port", str(port)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        if not any("serves at" in line for line in process.stdout):
            raise RuntimeError("the server did not start")
        try:
            made, cookie = asyncio.run(_seed(home, f"http://127.0.0.1:{port}", stations, consultations))
            yield Server(psutil.Process(process.pid), home, port, made, cookie)
        finally:
            process.terminate()


async def _seed(home: Path, address: str, stations: int, consultations: int) -> tuple[list[list[str]], str]:
    """What is missing in this home: the benchmark's account, stations, patients. A home can be used again."""
    from telemed.cli.server_client import ServerClient
    from telemed.cli.user import add_account
    from telemed.settings import Settings

    kept = home / SEEDED
    seeded: dict[str, Any] = json.loads(kept.read_text()) if kept.exists() else {"password": "", "stations": []}
    if not seeded["password"]:
        seeded["password"] = secrets.token_urlsafe(12)
        roles = ["clinician", "operator", "administrator"]
        await add_account(Settings(home=home), LOGIN, "Benchmark", seeded["password"], roles, "Benchmark", "en")
    gate = asyncio.Semaphore(AT_ONCE)
    async with ServerClient(address, LOGIN, seeded["password"]) as client:
        await client.sign_in()

        async def station(number: int) -> list[str]:
            async with gate:
                made = await client.post("/api/v1/stations", {"name": f"Station {number}", "place": "Benchmark"})
                key = await client.post(f"/api/v1/stations/{made['id']}/keys", {})
                patient = await client.post(
                    "/api/v1/patients", {"name": f"Patient {number}", "birth_year": 1950, "provisional": False}
                )
                attach = {"station_id": made["id"], "patient_id": patient["id"]}
                if number < consultations:
                    consultation = await client.post(
                        "/api/v1/consultations", {"patient_id": patient["id"], "station_id": made["id"]}
                    )
                    attach["consultation_id"] = consultation["id"]
                attachment = await client.post("/api/v1/attachments", attach)
                if number < consultations:
                    await client.post(f"/api/v1/consultations/{consultation['id']}/admit", {})
                return [key["key"], attachment["id"], attach.get("consultation_id", "")]

        have = len(seeded["stations"])
        seeded["stations"] += await asyncio.gather(*(station(number) for number in range(have, stations)))
        kept.write_text(json.dumps(seeded))
        assert client._session is not None
        cookie = "; ".join(f"{one.key}={one.value}" for one in client._session.cookie_jar)
    return seeded["stations"], cookie


class Child:
    """A program of this folder that answers one JSON line with another."""

    def __init__(self, program: str, *arguments: str) -> None:
        path = str(Path(__file__).with_name(program))
        self._process = subprocess.Popen(
            [sys.executable, path, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def tell(self, what: str, **values: Any) -> None:
        """Give a command."""
        _pipe(self._process.stdin).write(json.dumps({"do": what, **values}) + "\n")
        _pipe(self._process.stdin).flush()

    def answer(self) -> dict[str, Any]:
        """The answer to the oldest command without one."""
        line = _pipe(self._process.stdout).readline()
        if not line:
            raise RuntimeError("a part of the benchmark has ended")
        return dict(json.loads(line))

    def ask(self, what: str, **values: Any) -> dict[str, Any]:
        """Give a command and wait for its answer."""
        self.tell(what, **values)
        return self.answer()

    def end(self) -> None:
        """End the program."""
        _pipe(self._process.stdin).close()
        self._process.wait(10)


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe

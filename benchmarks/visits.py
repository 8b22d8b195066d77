"""Twenty visits at once against one server: each a clinician and a guest who send and see picture and voice.

The peers are headless, in processes of their own: real ICE, DTLS and SRTP, a 360p VP8 picture of 25 frames a second at
500 kbit/s and an Opus voice of 20 ms each, encoded once and sent at the pace of a browser, and each person's page
socket. Nothing is sent again: a packet that is lost counts as lost. All over loopback.
TELEMED_SECONDS=30 and TELEMED_VISITS=4 make it a trial.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp
import psutil
from _parts import cpu_by_part
from _report import Row, report

VISITS = int(os.environ.get("TELEMED_VISITS", "20"))
SECONDS = float(os.environ.get("TELEMED_SECONDS", "300"))
PROCESSES = 2  # of peers
PORT = 18081
WANTED = "at least 99"


class Peers:
    """One process of peers."""

    def __init__(self, url: str, visits: list[list[dict[str, str]]]) -> None:
        program = str(Path(__file__).with_name("_visit_peers.py"))
        self._process = subprocess.Popen(
            [sys.executable, program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._say(json.dumps({"url": url, "visits": visits}))
        self.process = psutil.Process(self._process.pid)

    async def answered(self, order: str | None = None) -> str:
        """Give the order and wait for the answer."""
        if order is not None:
            self._say(order)
        assert self._process.stdout is not None
        line = await asyncio.to_thread(self._process.stdout.readline)
        if not line:
            raise RuntimeError("the peers ended")
        return line.strip()

    def stop(self) -> None:
        """End the process."""
        with contextlib.suppress(OSError):
            self._process.communicate("", timeout=20.0)
        self._process.kill()
        self._process.wait()

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()


async def seed(home: Path, address: str) -> list[list[dict[str, str]]]:
    """Live visits by the API: the clinician's and the guest's side of each."""
    from telemed.cli.server_client import ServerClient
    from telemed.cli.user import add_account
    from telemed.settings import Settings

    password = secrets.token_urlsafe(12)
    await add_account(
        Settings(home=home), "benchmark", "Benchmark", password, ["clinician", "operator"], "Benchmark", "en"
    )
    visits = []
    origin = {"Origin": address}
    async with ServerClient(address, "benchmark", password) as client, aiohttp.ClientSession(
        cookie_jar=aiohttp.DummyCookieJar(), headers=origin
    ) as http:
        credentials = {"login": "benchmark", "password": password}
        async with http.post(f"{address}/api/v1/sign-in", json=credentials) as answer:
            answer.raise_for_status()
            me = (await answer.json())["id"]
            signed_in = cookie_of(answer)
        for number in range(VISITS):
            patient = await client.post(
                "/api/v1/patients", {"name": f"Patient {number}", "birth_year": 1950, "provisional": False}
            )
            consultation = await client.post(
                "/api/v1/consultations", {"patient_id": patient["id"], "station_id": None, "clinician_id": None}
            )
            path = f"/api/v1/consultations/{consultation['id']}"
            invitation = await client.post(
                f"{path}/tickets", {"role": "patient", "name": None, "language": "en", "email": None}
            )
            joining = {"ticket": invitation["link"].rpartition("/")[2], "name": None, "language": "en"}
            async with http.post(f"{address}/api/v1/visits", json=joining) as answer:
                answer.raise_for_status()
                seat, cookie = (await answer.json())["seat"], cookie_of(answer)
            await client.post(f"{path}/admit", {})
            visits.append([
                {"room": consultation["id"], "query": "", "cookie": signed_in, "me": me},
                {"room": consultation["id"], "query": f"?as={seat}", "cookie": cookie, "me": seat},
            ])
    return visits


def cookie_of(answer: aiohttp.ClientResponse) -> str:
    """The one cookie that the answer sets, as a request carries it."""
    (cookie,) = answer.cookies.values()
    return f"{cookie.key}={cookie.value}"


def seconds(server: psutil.Process, peers: list[psutil.Process]) -> dict[str, float]:
    """User and system time so far, by part of the server, and of all peers."""
    return {**cpu_by_part(server), "peers": sum(sum(process.cpu_times()[:2]) for process in peers)}


async def load(home: Path, server: psutil.Process) -> list[Row]:
    """Run the load; the figures."""
    address = f"http://127.0.0.1:{PORT}"
    print(f"{VISITS} visits are made …", flush=True)
    visits = await seed(home, address)
    print("the peers connect …", flush=True)
    parts = [Peers(address, visits[place::PROCESSES]) for place in range(PROCESSES)]
    try:
        await asyncio.gather(*(part.answered() for part in parts))
        peers = [part.process for part in parts]
        await asyncio.gather(*(part.answered("begin") for part in parts))
        began, before = time.monotonic(), seconds(server, peers)
        counted = await metrics(address)
        print(f"{SECONDS:.0f} s of pictures and voices …", flush=True)
        psutil.cpu_percent()
        await asyncio.sleep(SECONDS)
        machine, wall = psutil.cpu_percent(), time.monotonic() - began
        spent = {name: (now - before[name]) / wall * 100 for name, now in seconds(server, peers).items()}
        counted = {name: value - counted[name] for name, value in (await metrics(address)).items()}
        await asyncio.gather(*(part.answered("quiet") for part in parts))
        found = [json.loads(answer) for answer in await asyncio.gather(*(part.answered("report") for part in parts))]
    finally:
        for part in parts:
            part.stop()
    return rows(found, spent, counted, wall, machine)


def rows(
    found: list[dict[str, Any]], spent: dict[str, float], counted: dict[str, float], wall: float, machine: float
) -> list[Row]:
    """The figures as rows."""
    label = f"{VISITS} visits, {wall:.0f} s"
    made = []
    for name in found[0]:
        sent, received = (sum(part[name][what] for part in found) for what in ("sent", "received"))
        made += [
            Row(f"{label}: {name}: packets that arrived", received / sent * 100, "%", "sent", 100.0, WANTED),
            Row(f"{label}: {name}: in the worst visit", min(part[name]["worst"] for part in found) * 100, "%",
                "sent", 100.0, WANTED),
            Row(f"{label}: {name}: packets sent", sent / wall, "1/s"),
            Row(f"{label}: {name}: on the way p50", max(part[name]["p50_ms"] for part in found), "ms"),
            Row(f"{label}: {name}: on the way p99", max(part[name]["p99_ms"] for part in found), "ms"),
        ]
    through = counted["packets_out"] / wall
    return [
        *made,
        Row(f"{label}: packets through the server", through, "1/s"),
        Row(f"{label}: packets not sent on", counted["packets_unsent"] / wall, "1/s"),
        Row(f"{label}: relay CPU", spent["relay"], "% of a core", "all peers", spent["peers"]),
        Row(f"{label}: relay CPU a packet passed on", spent["relay"] / 100 / through * 1e6, "us"),
        Row(f"{label}: server CPU", spent["server"], "% of a core"),
        Row(f"{label}: database CPU", spent["database"], "% of a core"),
        Row(f"{label}: the whole machine busy", machine, "% of all cores"),
    ]


async def metrics(address: str) -> dict[str, float]:
    """The media plane's counters."""
    async with aiohttp.ClientSession() as http, http.get(f"{address}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    prefix = "telemed_media_"
    pairs = (line.removeprefix(prefix).split(" ") for line in lines if line.startswith(prefix))
    return {name.removesuffix("_total"): float(value) for name, value in pairs}


def main() -> None:
    """Start a server in a new data folder, load it, stop it."""
    with tempfile.TemporaryDirectory(prefix="telemed-bench-") as folder:
        home = Path(folder) / "home"
        environment = {**os.environ, "TELEMED_HOME": str(home)}
        command = [sys.executable, "-m", "telemed", "serve", "--port", str(PORT)]
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if "serves at" in line:
                    break
            try:
                rows_ = asyncio.run(load(home, psutil.Process(process.pid)))
            finally:
                process.terminate()
        report("visits", rows_)


if __name__ == "__main__":
    main()

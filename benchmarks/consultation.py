"""One consultation of the demo with a real browser: first and warm start, sample to screen, CPU.

The time of a sample on the screen is read in the page: at every animation frame, how old the newest drawn sample of
lead II is by the server's clock (same machine). It contains the page's play-out buffer and the 200 ms that a device
collects into a frame.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

import aiohttp
import psutil
from _report import Row, cpu_seconds, percentile, report
from playwright.async_api import Page, async_playwright
from telemed_devices.native import unpack_frame

SECONDS = float(os.environ.get("TELEMED_SECONDS", "30"))
SETTLE_SECONDS = 12.0  # the page fills its play-out buffer and the cameras reach their rate
READY_SECONDS = 60.0
SAMPLE_US = 1000.0  # the demo's recording: 1,000 samples a second

# Collects [Date.now() in ms, newest drawn sample] at every animation frame where the trace has moved.
COLLECT = """(seconds) => new Promise((done) => {
  const canvas = document.querySelector("canvas[data-lead='II']");
  const rows = [];
  let last = '';
  const end = performance.now() + seconds * 1000;
  const look = () => {
    if (canvas.dataset.head !== last) {
      last = canvas.dataset.head;
      rows.push([performance.timeOrigin + performance.now(), Number(last)]);
    }
    if (performance.now() < end) requestAnimationFrame(look); else done(rows);
  };
  requestAnimationFrame(look);
})"""


class Demo:
    """A ``telemed demo`` in a data folder."""

    def __init__(self, home: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.home, self.url = home, f"http://127.0.0.1:{self.port}"
        environment = {**os.environ, "TELEMED_HOME": str(home)}
        command = [sys.executable, "-m", "telemed", "demo", "--port", str(self.port)]
        self.process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)

    async def started(self) -> float:
        """Wait until a patient waits; the seconds until the server answered."""
        began, answered = time.monotonic(), 0.0
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
            while time.monotonic() - began < READY_SECONDS:
                await asyncio.sleep(0.02)
                try:
                    async with http.get(self.url + "/healthz") as answer:
                        if answer.status != 200:
                            continue
                except aiohttp.ClientError:
                    continue
                answered = answered or time.monotonic() - began
                if (self.home / "demo.json").exists() and await self._waiting(http):
                    return answered
        raise TimeoutError("the demo does not start")

    async def _waiting(self, http: aiohttp.ClientSession) -> bool:
        async with http.get(self.url + "/api/v1/consultations") as answer:
            if answer.status == 401:
                await self.sign_in(http)
                return False
            rows = (await answer.json()).get("consultations", [])
            return any(row["state"] in ("waiting", "live") for row in rows)

    @property
    def password(self) -> str:
        """The demo clinician's."""
        return str(json.loads((self.home / "demo.json").read_text())["passwords"]["demo-clinician"])

    async def sign_in(self, http: aiohttp.ClientSession) -> None:
        """Sign this client in as the demo clinician; a demo that is not yet seeded refuses, which is no error."""
        credentials = {"login": "demo-clinician", "password": self.password}
        async with http.post(self.url + "/api/v1/sign-in", json=credentials, headers={"Origin": self.url}):
            pass

    def part(self, word: str) -> psutil.Process:
        """The child process whose command line holds this word."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        return next(child for child in children if word in child.cmdline())

    def stop(self) -> None:
        """End it in order."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(30)


async def time_of_samples(demo: Demo, consultation: str) -> tuple[float, list[float]]:
    """The server's time of sample 0 of the ECG in ms, and the age of each block's newest sample on arrival in s."""
    late: list[float] = []
    zero = 0.0
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
        await demo.sign_in(http)
        address = demo.url.replace("http", "ws") + f"/ws/consultations/{consultation}"
        async with http.ws_connect(address, headers={"Origin": demo.url}, max_msg_size=1 << 21) as sockets:
            await sockets.send_json({"type": "hello", "protocol": 1, "oldest": 1, "source": str(uuid.uuid4())})
            async for message in sockets:
                if message.type == aiohttp.WSMsgType.BINARY:
                    frame = unpack_frame(message.data)
                    zero = (frame.t0_us - frame.first_sample * SAMPLE_US) / 1e3
                    late.append(time.time() - (frame.t0_us + frame.n * SAMPLE_US) / 1e6)
                    if len(late) == 100:
                        return zero, late
                    continue
                event: dict[str, Any] = json.loads(message.data)
                for stream in event.get("streams", []) if event["type"] in ("welcome", "streams") else []:
                    if stream["kind"] == "ecg":
                        await sockets.send_json({"type": "watch", "stream": stream["stream"], "view": "monitor"})
    raise RuntimeError("the socket closed")


async def look(demo: Demo, page: Page) -> list[Row]:
    """Sign in, open the patient, measure."""
    await page.goto(demo.url)
    await page.locator("input[autocomplete=username]").fill("demo-clinician")
    await page.locator("input[autocomplete=current-password]").fill(demo.password)
    await page.locator("button[type=submit]").click()
    await page.locator("[data-state=waiting] button").first.click()
    await page.locator("canvas[data-lead='II'][data-head]").first.wait_for()
    await page.wait_for_timeout(SETTLE_SECONDS * 1e3)
    consultation = page.url.split("/consultations/")[1].split("/")[0]
    zero_ms, late = await time_of_samples(demo, consultation)
    parts = {"server and database": demo.part("serve"), "station with camera": demo.part("station")}
    before = {name: cpu_seconds([process]) for name, process in parts.items()}
    began = time.monotonic()
    drawn = await page.evaluate(COLLECT, SECONDS)
    wall = time.monotonic() - began
    ages = [now - (zero_ms + sample * SAMPLE_US / 1e3) for now, sample in drawn]
    rows = [
        Row("newest sample of a block at a watcher p50", percentile(late, 0.5) * 1e3, "ms"),
        Row("newest sample of a block at a watcher p99", percentile(late, 0.99) * 1e3, "ms"),
        Row("sample to screen p50", percentile(ages, 0.5), "ms", "play-out buffer alone", 300.0),
        Row("sample to screen p99", percentile(ages, 0.99), "ms", "play-out buffer alone", 300.0),
    ]
    for name, process in parts.items():
        rows.append(Row(f"{name}: CPU", (cpu_seconds([process]) - before[name]) / wall * 100, "% of a core"))
    return rows


async def measure(folder: Path) -> list[Row]:
    """All figures of one run."""
    demo = Demo(folder / "home")
    first = await demo.started()
    demo.stop()
    demo = Demo(folder / "home")
    try:
        warm = await demo.started()
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(
                executable_path=shutil.which("chromium") or shutil.which("google-chrome"),
                chromium_sandbox=False,
                args=[
                    "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
                    "--autoplay-policy=no-user-gesture-required", "--allow-loopback-in-peer-connection",
                    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--disable-background-networking",
                    "--disable-component-update", "--disable-sync", "--no-first-run",
                ],
            )
            page = await browser.new_page(viewport={"width": 1440, "height": 900})
            rows = await look(demo, page)
            await browser.close()
    finally:
        demo.stop()
    return [
        Row("first start to the first answer", first, "s"),
        Row("warm start to the first answer", warm, "s", "first start", first, "5 s"),
        *rows,
    ]


def main() -> None:
    """Run it in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="telemed-bench-") as folder:
        report("consultation", asyncio.run(measure(Path(folder))))


if __name__ == "__main__":
    main()

"""A real demo, started as a newcomer starts it, and a real Chromium that looks at it."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
import wave
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import psutil
import pydicom
import pydicom.data
import pytest
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

ROOT = Path(__file__).parents[2]
START_SECONDS = 60.0  # first start: initdb, migrations, seeding, on two busy cores
STOP_SECONDS = 20.0
ANSWER = aiohttp.ClientTimeout(total=2.0)  # of a server that may be about to start
BROWSER_HZ = 880
OPEN_DEMO = """import asyncio
from telemed.cli.demo import run
from telemed.cli.environment import load_settings
raise SystemExit(asyncio.run(run(load_settings(host="0.0.0.0"))))"""

# Remembers every peer connection of the page, so that a test can ask for its statistics.
REMEMBER_PEERS = """
window.__peers = [];
const Native = window.RTCPeerConnection;
window.RTCPeerConnection = class extends Native {
  constructor(...args) { super(...args); window.__peers.push(this); }
};
"""

FRAMES_DECODED = """async () => {
  let frames = 0;
  for (const peer of window.__peers) {
    if (peer.connectionState === 'closed') continue;
    for (const row of (await peer.getStats()).values())
      if (row.type === 'inbound-rtp' && row.kind === 'video') frames = Math.max(frames, row.framesDecoded || 0);
  }
  return frames;
}"""

# The loudest frequency of the remote sound, in Hz, or 0 in silence. A new analyser each time the stream changes.
REMOTE_HZ = """async () => {
  const video = document.getElementById('remote-video');
  const stream = video && video.srcObject;
  if (!stream || !stream.getAudioTracks().some((track) => track.readyState === 'live')) return 0;
  if (!window.__ear || window.__ear.stream !== stream || window.__ear.tracks !== stream.getAudioTracks().length) {
    if (window.__ear) await window.__ear.context.close();
    const context = new AudioContext();
    await context.resume();
    const analyser = context.createAnalyser();
    analyser.fftSize = 8192;
    analyser.smoothingTimeConstant = 0;
    context.createMediaStreamSource(stream).connect(analyser);
    window.__ear = {stream, context, analyser, tracks: stream.getAudioTracks().length};
    await new Promise((done) => setTimeout(done, 300));
  }
  const {analyser, context} = window.__ear;
  const bins = new Float32Array(analyser.frequencyBinCount);
  analyser.getFloatFrequencyData(bins);
  let best = 0;
  for (let i = 1; i < bins.length; i++) if (bins[i] > bins[best]) best = i;
  return bins[best] < -70 ? 0 : best * context.sampleRate / analyser.fftSize;
}"""


async def until(condition: Callable[[], Awaitable[Any]], seconds: float, what: str) -> Any:
    """Wait for the condition to be true; fail with ``what`` after the deadline."""
    deadline = time.monotonic() + seconds
    while True:
        value = await condition()
        if value:
            return value
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds:.0f} s: {what}")
        await asyncio.sleep(0.1)


def free_port() -> int:
    """A TCP port of the loopback that nobody holds now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Demo:
    """A running ``telemed demo``."""

    process: subprocess.Popen[bytes]
    home: Path
    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def password(self, login: str) -> str:
        """The password that the demo made for this login at its first start."""
        return str(json.loads((self.home / "demo.json").read_text())["passwords"][login])

    def server(self, word: str = "serve") -> psutil.Process:
        """The process of ``telemed serve``, or the one below it with this word in its command."""
        for child in psutil.Process(self.process.pid).children(recursive=True):
            if child.is_running() and child.status() != psutil.STATUS_ZOMBIE and word in child.cmdline():
                return child
        raise LookupError(f"no {word} runs")

    async def healthy(self) -> bool:
        """Whether the server answers."""
        try:
            async with aiohttp.ClientSession(timeout=ANSWER) as http, http.get(self.url + "/healthz") as answer:
                return answer.status == 200
        except (aiohttp.ClientError, OSError):
            return False

    async def invites(self) -> bool:
        """Whether the demo has printed how to sign in: it serves, its people are there and a patient waits."""
        return "demo-clinician" in self.log.read_text(errors="replace")


@asynccontextmanager
async def run_demo(folder: Path, *addresses: str) -> AsyncIterator[Demo]:
    """Start a demo in its own home; stop it, and see that nothing of it is left.

    With ``addresses`` it listens beyond loopback, which ``telemed demo`` itself never does, and announces these.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    log = folder / "demo.log"
    environment = {**os.environ, "TELEMED_HOME": str(folder / "home"), "PYTHONUNBUFFERED": "1"}
    environment.pop("DATABASE_URL", None)
    command = [sys.executable, "-m", "telemed", "demo", "--port", str(port)]
    if addresses:
        environment |= {"TELEMED_PUBLIC_ADDRESS": ",".join((*addresses, "127.0.0.1")), "TELEMED_PORT": str(port)}
        command = [sys.executable, "-c", OPEN_DEMO]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=environment,
        )
    demo = Demo(process, folder / "home", port, log)
    family: list[psutil.Process] = []
    try:
        await until(demo.invites, START_SECONDS, f"the demo serves; its log: {log.read_text()[-2000:]}")
        yield demo
        family = psutil.Process(process.pid).children(recursive=True)
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        _, alive = psutil.wait_procs(family, timeout=STOP_SECONDS)
        assert not alive, f"left running: {alive}"


def chromium() -> str:
    """The Chromium of this machine; ``make test`` installs one."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        found = shutil.which(name)
        if found:
            return found
    return ""


def write_tone(path: Path) -> None:
    """A WAV file with ten seconds of 880 Hz: a whole number of cycles, so that it loops without a click."""
    rate = 48000
    samples = (0.25 * 32767 * np.sin(2 * np.pi * BROWSER_HZ * np.arange(rate * 10) / rate)).astype("<i2")
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(samples.tobytes())


@asynccontextmanager
async def run_browser(
    folder: Path, devices: bool = True, program: Path | None = None, extra: tuple[str, ...] = (), asks: bool = False
) -> AsyncIterator[Browser]:
    """Chromium with a moving test picture as camera and 880 Hz as microphone, or with neither.

    ``program`` starts it otherwise, ``extra`` are more arguments; one that ``asks`` gives what was granted alone.
    """
    tone = folder / "tone.wav"
    write_tone(tone)
    arguments = [
        *([] if asks else ["--use-fake-ui-for-media-stream"]), "--autoplay-policy=no-user-gesture-required",
        *(["--use-fake-device-for-media-stream", f"--use-file-for-fake-audio-capture={tone}"] if devices else []),
        "--allow-loopback-in-peer-connection", "--disable-features=WebRtcHideLocalIpsWithMdns",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE 198.51.100.1",
        "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run",
        "--disable-gpu", "--disable-background-timer-throttling", "--disable-renderer-backgrounding",
        "--disable-backgrounding-occluded-windows", *extra,
    ]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=program or chromium() or None, args=arguments, chromium_sandbox=False
        )
        try:
            yield browser
        finally:
            await browser.close()


@dataclass
class Visitor:
    """Someone at a page, signed in."""

    demo: Demo
    context: BrowserContext
    page: Page
    http: aiohttp.ClientSession
    faults: list[str] = field(default_factory=list)

    async def frames_decoded(self) -> int:
        return int(await self.page.evaluate(FRAMES_DECODED))

    async def remote_hz(self) -> float:
        return float(await self.page.evaluate(REMOTE_HZ))

    async def api(self, method: str, path: str, body: Any = None) -> Any:
        """Call the API as this person; the answer's JSON."""
        async with self.http.request(
            method, self.demo.url + path, json=body, headers={"Origin": self.demo.url}
        ) as answer:
            text = await answer.text()
            assert answer.status < 300, f"{method} {path}: {answer.status} {text[:400]}"
            return json.loads(text) if text else None

    async def station(self) -> dict[str, Any]:
        """What the demo station says of itself; empty while it has not, or the server cannot be asked."""
        try:
            rows = (await self.api("GET", "/api/v1/stations"))["stations"]
        except (aiohttp.ClientError, OSError, AssertionError):
            return {}
        return dict(rows[0]["status"] or {})

    async def call(self) -> dict[str, Any]:
        """What the demo station says of the call."""
        return dict((await self.station()).get("call") or {})

    async def open_waiting(self) -> str:
        """Open the waiting patient as a clinician does; the consultation's id."""
        await self.page.locator("[data-state=waiting] button").first.click()
        await self.page.wait_for_url("**/#/consultations/**")
        return self.page.url.split("/consultations/")[1].split("/")[0]

    async def head(self) -> int:
        """The newest sample that lead II shows."""
        canvas = self.page.locator("canvas[data-lead=II]").first
        return int(await canvas.evaluate("(c) => Number(c.dataset.head)"))


@asynccontextmanager
async def visit(demo: Demo, browser: Browser, language: str, size: tuple[int, int]) -> AsyncIterator[Visitor]:
    """The demo clinician at a fresh browser, signed in through the page; the same sign-in for the API."""
    context = await browser.new_context(
        locale="bg-BG" if language == "bg" else "en-GB", viewport={"width": size[0], "height": size[1]},
        permissions=["camera", "microphone"], timezone_id="Europe/Sofia",
    )
    await context.add_init_script(REMEMBER_PEERS)
    page = await context.new_page()
    page.set_default_timeout(20_000)
    # The jar of a plain client refuses cookies of an address unless told otherwise.
    http = aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))
    visitor = Visitor(demo, context, page, http)
    page.on("pageerror", lambda error: visitor.faults.append(str(error)))
    login, password = "demo-clinician", demo.password("demo-clinician")
    try:
        credentials = {"login": login, "password": password}
        async with http.post(f"{demo.url}/api/v1/sign-in", json=credentials, headers={"Origin": demo.url}) as answer:
            assert answer.status < 300, await answer.text()
        await page.goto(demo.url)
        await page.locator("input[autocomplete=username]").fill(login)
        await page.locator("input[autocomplete=current-password]").fill(password)
        await page.locator("button[type=submit]").click()
        yield visitor
    finally:
        await http.close()
        await context.close()


@dataclass(frozen=True)
class Recording:
    """The real recording in pydicom's wheel, as pydicom reads it, looped between the samples that the station names."""

    counts: np.ndarray  # (samples, 12) int
    gain_uv: np.ndarray
    first: int
    end: int

    @classmethod
    def read(cls, loop: dict[str, int]) -> Recording:
        """Read it with pydicom alone."""
        group = pydicom.dcmread(pydicom.data.get_testdata_file("waveform_ecg.dcm")).WaveformSequence[0]
        counts = np.frombuffer(group.WaveformData, "<i2").reshape(-1, int(group.NumberOfWaveformChannels)).astype(int)
        gain = np.array([
            float(channel.ChannelSensitivity) * float(channel.ChannelSensitivityCorrectionFactor)
            for channel in group.ChannelDefinitionSequence
        ])
        return cls(counts, gain, loop["first"], loop["end"])

    @property
    def length(self) -> int:
        return self.end - self.first

    def at(self, phase: int, first: int, count: int) -> np.ndarray:
        """Samples ``first`` … of a stream whose sample 0 is ``phase`` into the loop: (count, 12)."""
        return self.counts[self.first + (phase + first + np.arange(count)) % self.length]

    def phase_of(self, first: int, samples: np.ndarray) -> int:
        """The one phase at which the loop equals these samples, shaped (12, n), integer for integer."""
        twice = np.concatenate([self.counts[self.first : self.end]] * 2).T
        n = samples.shape[1]
        fits = [k for k in range(self.length) if (twice[:, k : k + n] == samples).all()]
        assert len(fits) == 1, f"{len(fits)} places in the loop fit"
        return (fits[0] - first) % self.length


HEADER = struct.Struct("<4sBBBBIIQQqIIIHH")  # the native frame, docs/protocol.md section 2


def read_frame(data: bytes, offset: int = 0) -> tuple[int, int, np.ndarray, int]:
    """View, first sample, samples (channels, n) and size of a raw native frame, read by its layout alone."""
    (magic, version, codec, dtype, channels, _stream, n, _seq, first, _t0, size, _crc, _flags, view, zero) = (
        HEADER.unpack_from(data, offset)
    )
    assert (magic, version, codec, zero) == (b"TMF1", 1, 0, 0)
    kind = {1: "<i2", 2: "<i4"}[dtype]
    samples = np.frombuffer(data, kind, count=channels * n, offset=offset + HEADER.size)
    assert size == samples.nbytes
    return view, first, samples.reshape(channels, n), HEADER.size + size


async def stored_runs(visitor: Visitor, consultation: str) -> list[tuple[int, np.ndarray]]:
    """The raw ECG of a consultation as review gives it: every unbroken run, (first sample, (channels, n)).

    A sample that comes twice fails.
    """
    review = await visitor.api("GET", f"/api/v1/consultations/{consultation}/review")
    query = {"kind": "ecg", "view": "raw", "from_us": str(review["from_us"]), "to_us": str(review["to_us"] + 1)}
    url = f"{visitor.demo.url}/api/v1/consultations/{consultation}/waves"
    async with visitor.http.get(url, params=query) as answer:
        assert answer.status == 200, await answer.text()
        body = await answer.read()
    offset = 8 + struct.unpack_from("<I", body)[0]
    offset += -offset % 8
    runs: list[tuple[int, list[np.ndarray]]] = []
    end: int | None = None
    while offset < len(body):
        _view, first, samples, size = read_frame(body, offset)
        assert end is None or first >= end, "a sample is stored twice"
        if first != end:
            runs.append((first, []))
        runs[-1][1].append(samples)
        end = first + samples.shape[1]
        offset += size + (-size % 8)
    return [(first, np.concatenate(parts, axis=1)) for first, parts in runs]


@dataclass(frozen=True)
class Stage:
    """What the tests of this folder use."""

    chromium: Callable[[], str] = chromium
    run_demo: Callable[..., Any] = run_demo
    run_browser: Callable[..., Any] = run_browser
    visit: Callable[..., Any] = visit
    until: Callable[..., Awaitable[Any]] = until
    read_recording: Callable[[dict[str, int]], Recording] = Recording.read
    read_frame: Callable[..., tuple[int, int, np.ndarray, int]] = read_frame
    stored_runs: Callable[..., Awaitable[list[tuple[int, np.ndarray]]]] = stored_runs
    remember_peers: str = REMEMBER_PEERS
    remote_hz: str = REMOTE_HZ


@pytest.fixture(scope="session")
def stage() -> Stage:
    """The demo, the browser and the visitor; fails when no Chromium is there, because ``make test`` installs one."""
    return Stage()

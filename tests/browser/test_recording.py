"""A clinician records a visit with the patient's consent and plays it in the review, in step with the waves; then
reviews what a station measured while its line was down: its trend, and its export.

The demo station's lamp lights at each R peak. Where it lights in the recorded picture, and where the peak is in the
stored samples, is found here by libavformat and scipy alone; the exported file is read by edfio.
"""

from __future__ import annotations

import asyncio
import io
import json
import time
import zipfile
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import av
import edfio
import numpy as np
import pytest
from scipy import signal
from telemed_devices.envelope import Chunk, pack_chunk
from telemed_devices.gatt import encode_blood_pressure, encode_heart_rate
from telemed_devices.native import Frame, pack_frame

LAMP_X, LAMP_Y, LAMP_HALF = 566, 78, 12  # the middle of the lamp in the demo's picture of 640 × 360
LIT = 150  # between its dark (28) and its lit (235) luma
RECORDED_MS = 14_000
# What the player shows: the file's time of the last shown frame, the cursor and the window in consultation time.
PLAYER = """() => {
  const video = document.querySelector('.review-player video');
  const board = document.querySelector('.review-waves .wave-board');
  const cursor = document.querySelector('.review-waves .cursor');
  return {
    began: Number(video.dataset.beganUs), time: video.currentTime, paused: video.paused, seeking: video.seeking,
    ready: video.readyState, duration: video.duration, width: video.videoWidth,
    from: Number(board.dataset.fromUs), to: Number(board.dataset.toUs), wide: board.clientWidth,
    cursor: cursor === null ? null : parseFloat(cursor.style.left),
  };
}"""


MEASURED_SECONDS = 1_200
ECG_HZ, ECG_CHUNK_SECONDS = 250, 10
HOLE_CHUNKS = range(48, 54)  # a minute without an electrode
RATE_STEP_SECONDS = 5
HIGH_AT, HIGH, USUAL = 600, 150, 70  # one reading of all stands out
CUFF = ((200, 120, 80, 93), (900, 131, 84, 100))
# Where the ink of a panel is: [x, y] of the canvas' own pixels, and what places them.
TREND_INK = """(canvas) => {
  const {width, height} = canvas;
  const pixels = canvas.getContext('2d').getImageData(0, 0, width, height).data;
  const ink = [];
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) {
    const [r, g, b, a] = pixels.slice(4 * (y * width + x), 4 * (y * width + x) + 4);
    if (a > 100 && g > r + 40 && g > b + 40) ink.push([x, y]);
  }
  return {width, height, ink, low: Number(canvas.dataset.low), high: Number(canvas.dataset.high)};
}"""


@dataclass
class Measured:
    """What a station of its own measured on somebody who was entered at it without a line, in the last 20 minutes."""

    demo: Any
    sessions: dict[str, aiohttp.ClientSession] = field(default_factory=dict)
    source: UUID = field(default_factory=uuid4)
    attachment: UUID = field(default_factory=uuid4)
    started_us: int = field(default_factory=lambda: time.time_ns() // 1000 - (MEASURED_SECONDS + 60) * 1_000_000)

    @property
    def samples(self) -> np.ndarray:
        """The one lead, a beat a second."""
        t = np.arange(MEASURED_SECONDS * ECG_HZ) / ECG_HZ
        beat = 900 * np.exp(-(((t % 1) - 0.4) ** 2) / (2 * 0.012**2))
        return np.asarray(np.rint(beat + 80 * np.sin(2 * np.pi * 0.25 * t)), np.int16)[np.newaxis]

    async def api(self, login: str, method: str, path: str, body: Any = None) -> Any:
        """Call the API as this account."""
        origin = {"Origin": self.demo.url}
        if login not in self.sessions:
            http = self.sessions[login] = aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))
            await self.api(login, "POST", "/api/v1/sign-in", {"login": login, "password": self.demo.password(login)})
        http = self.sessions[login]
        async with http.request(method, self.demo.url + path, json=body, headers=origin) as answer:
            text = await answer.text()
            assert answer.status < 300, f"{method} {path}: {answer.status} {text[:400]}"
            return json.loads(text) if text else None

    async def deliver(self) -> str:
        """Make the station, send everything, and take it for review: the consultation's id."""
        try:
            made = await self.api("demo-admin", "POST", "/api/v1/stations", {"name": "Demo station 2"})
            key = await self.api("demo-admin", "POST", f"/api/v1/stations/{made['id']}/keys", {})
            async with aiohttp.ClientSession() as http, http.ws_connect(
                self.demo.url.replace("http", "ws") + "/ws/station", headers={"Authorization": f"Bearer {key['key']}"}
            ) as socket:
                await asyncio.wait_for(self._send(socket), 60)
            me = await self.api("demo-clinician", "GET", "/api/v1/me")
            visit = await self.api(
                "demo-clinician", "POST", f"/api/v1/attachments/{self.attachment}/visit", {"clinician_id": me["id"]}
            )
            return str(visit["id"])
        finally:
            for session in self.sessions.values():
                await session.close()

    async def _send(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        await socket.send_json(
            {"type": "hello", "protocol": 1, "oldest": 1, "program": "test", "source": str(self.source)}
        )
        await self._until(socket, lambda said: said["type"] == "clock_ask")
        await socket.send_json({
            "type": "provisional", "patient": str(uuid4()), "attachment": str(self.attachment),
            "source": str(self.source), "name": "Demo patient 9", "birth_year": 1950, "from_us": self.started_us,
            "to_us": self.started_us + MEASURED_SECONDS * 1_000_000, "to_source": None,
        })
        await self._until(socket, lambda said: said["type"] == "provisional_kept")
        for number, messages in self.streams().items():
            kind, format_, rate, channels, chunks = messages
            await socket.send_json({"type": "announce", "live_from": len(chunks), "stream": {
                "number": number, "device": f"Demo {kind}", "kind": kind, "epoch": str(uuid4()), "format": format_,
                "origin": "measured", "rate": rate, "channels": channels, "attachment": str(self.attachment),
                "started_us": self.started_us,
            }})
            await self._until(socket, lambda said, n=number: said["type"] == "announced" and said["number"] == n)
            for chunk in chunks:
                await socket.send_bytes(chunk)
            await self._until(socket, lambda said, n=number, all_=chunks: said["type"] == "ack"
                              and said["number"] == n and acknowledged(said) >= len(all_))

    def streams(self) -> dict[int, tuple[str, str, list[int] | None, list[dict[str, Any]], list[bytes]]]:
        """Kind, format, rate, channels and chunks of each stream."""
        n = ECG_HZ * ECG_CHUNK_SECONDS
        lead = [{"name": "II", "unit": "uV", "gain": 1.0, "offset": 0.0}]
        stored = [at for at in range(MEASURED_SECONDS // ECG_CHUNK_SECONDS) if at not in HOLE_CHUNKS]
        ecg = [
            pack_frame(Frame(1, seq, at * n, self.started_us + at * ECG_CHUNK_SECONDS * 1_000_000,
                             self.samples[:, at * n : at * n + n]))
            for seq, at in enumerate(stored)
        ]
        rates = [
            pack_chunk(Chunk(2, seq, self.started_us + at * 1_000_000,
                             encode_heart_rate(HIGH if at == HIGH_AT else USUAL)))
            for seq, at in enumerate(range(0, MEASURED_SECONDS, RATE_STEP_SECONDS))
        ]
        cuff = [
            pack_chunk(Chunk(3, seq, self.started_us + at * 1_000_000, encode_blood_pressure(*map(Decimal, values))))
            for seq, (at, *values) in enumerate(CUFF)
        ]
        return {
            1: ("ecg", "native", [ECG_HZ, 1], lead, ecg), 2: ("heart_rate", "gatt:2a37", None, [], rates),
            3: ("blood_pressure", "gatt:2a35", None, [], cuff),
        }

    async def _until(self, socket: aiohttp.ClientWebSocketResponse, where: Any) -> None:
        """Read on until such a message; the clock's questions are answered meanwhile."""
        while True:
            message = await socket.receive()
            assert message.type is aiohttp.WSMsgType.TEXT, message
            said = json.loads(message.data)
            assert said["type"] != "error", said
            if said["type"] == "clock_ask":
                now = time.time_ns() // 1000
                await socket.send_json({"type": "clock", "echo": said["server_us"], "stamp_us": now})
            if where(said):
                return


def acknowledged(ack: dict[str, Any]) -> int:
    """How many chunks of a stream the server has, by its ``ack``."""
    through = -1 if ack["through"] is None else int(ack["through"])
    return through + 1 + sum(last - first + 1 for first, last in ack["ranges"])


def lamp_onsets(data: bytes) -> list[float]:
    """When the lamp lights, in seconds of the file."""
    onsets, before = [], True
    with av.open(io.BytesIO(data)) as container:
        for frame in container.decode(video=0):
            scale = frame.width / 640
            x, y, half = (round(scale * value) for value in (LAMP_X, LAMP_Y, LAMP_HALF))
            luma = frame.to_ndarray(format="gray")[y - half : y + half, x - half : x + half]
            lit = bool(np.median(luma) > LIT)
            if lit and not before:
                onsets.append(float(frame.time))
            before = lit
    return onsets


def peaks_us(review: Any, runs: list[tuple[int, np.ndarray]]) -> np.ndarray:
    """The R peaks of the stored lead II in consultation time."""
    (stream,) = [one for one in review["streams"] if one["kind"] == "ecg"]
    rate = stream["rate"][0] / stream["rate"][1]
    found = []
    for segment in stream["segments"]:
        for first, samples in runs:
            if not first <= segment["first_sample"] < first + samples.shape[1]:
                continue
            at = segment["first_sample"] - first
            lead = samples[1, at : at + segment["n"]].astype(float)
            lead = np.abs(lead - np.median(lead))
            peaks, _ = signal.find_peaks(lead, height=0.6 * np.percentile(lead, 99.9), distance=int(0.4 * rate))
            found += [segment["from_us"] + peak / rate * 1e6 for peak in peaks]
    return np.array(sorted(found))


@pytest.mark.parametrize("language", ["bg"])
async def test_a_recorded_visit_plays_in_step_with_its_waves(stage: Any, tmp_path: Path, language: str) -> None:
    async with (
        stage.run_demo(tmp_path) as demo,
        stage.run_browser(tmp_path) as browser,
        stage.visit(demo, browser, language, (1440, 900)) as visitor,
    ):
        page = visitor.page
        consultation = await visitor.open_waiting()
        await stage.until(visitor.frames_decoded, 20, "the station's picture is shown")
        await page.locator("#tab-patient").click()
        assert await page.locator(".call .recording-mark").count() == 0, "off by default"
        await page.locator("[data-command=record]").click()
        await page.locator("dialog [data-command=record-agreed]").click()
        await page.locator(".call .recording-mark").wait_for()
        assert await page.locator(".call .recording-mark").inner_text() == "Записва се"

        async def recorded() -> bool:
            answer = await visitor.api("GET", f"/api/v1/consultations/{consultation}/recordings")
            lengths = [one["length_ms"] for one in answer["recordings"] if one["picture"]]
            return len(lengths) >= 2 and min(lengths) >= RECORDED_MS

        await stage.until(recorded, 60, "station and clinician are recorded")
        await page.locator("[data-command=record]").click()
        await page.locator(".call .recording-mark").wait_for(state="detached")
        await visitor.api("POST", f"/api/v1/consultations/{consultation}/end")
        answer = await visitor.api("GET", f"/api/v1/consultations/{consultation}/recordings")
        assert {(one["by"], one["ended_why"]) for one in answer["recordings"]} >= {
            ("station", "switched_off"), ("clinician", "switched_off")
        }
        for one in answer["recordings"]:
            assert one["aligned"], one
            assert one["error_us"] < 100_000, one
        camera = next(one for one in answer["recordings"] if (one["by"], one["source"]) == ("station", "camera"))

        # The lamp in the recorded picture stands where the peak is in the stored samples.
        async with visitor.http.get(f"{demo.url}/api/v1/recordings/{camera['id']}") as file:
            onsets = lamp_onsets(await file.read())
        review = await visitor.api("GET", f"/api/v1/consultations/{consultation}/review")
        peaks = peaks_us(review, await stage.stored_runs(visitor, consultation))
        off_ms = []
        for onset in onsets:
            seen_us = camera["began_us"] + onset * 1e6
            off_ms.append((seen_us - peaks[np.abs(peaks - seen_us).argmin()]) / 1000)
        print(f"lamp behind peak, ms: {np.round(np.percentile(off_ms, [0, 50, 95, 100]), 1)} of {len(off_ms)}")
        assert len(off_ms) >= 8
        assert np.percentile(np.abs(off_ms), 95) <= 100, off_ms

        # The player: it seeks, the cursor stands at the shown picture, and the page turns with it.
        await page.goto(f"{demo.url}/#/consultations/{consultation}/review")
        await page.locator(".review-player video").wait_for()
        if await page.locator(".player-which select").count():
            await page.locator(".player-which select").select_option(camera["id"])

        async def ready() -> bool:
            return bool((await page.evaluate(PLAYER))["ready"] >= 2)

        await stage.until(ready, 20, "the recording can be played")
        shown = await page.evaluate(PLAYER)
        assert abs(shown["duration"] * 1000 - camera["length_ms"]) < 50
        for wanted in (camera["length_ms"] / 1000 - 1.5, 3.0, 9.0):
            await page.evaluate("(at) => { document.querySelector('.review-player video').currentTime = at; }", wanted)

            async def there(wanted: float = wanted) -> bool:
                now = await page.evaluate(PLAYER)
                us = now["began"] + now["time"] * 1e6
                if now["seeking"] or abs(now["time"] - wanted) > 0.01 or now["cursor"] is None:
                    return False
                cursor_us = now["from"] + now["cursor"] / now["wide"] * (now["to"] - now["from"])
                return bool(now["from"] <= us < now["to"] and abs(cursor_us - us) < 150_000)

            await stage.until(there, 20, f"the waves show {wanted} s")
        before = await page.evaluate(PLAYER)
        await page.evaluate("() => document.querySelector('.review-player video').play()")

        async def plays() -> bool:
            return bool((await page.evaluate(PLAYER))["time"] > before["time"] + 2)

        await stage.until(plays, 30, "it plays")
        await page.evaluate("() => document.querySelector('.review-player video').pause()")
        # And the other way round: whoever moves the waves away takes the picture along.
        await page.keyboard.press("Home")
        for _ in range(2):
            await page.keyboard.press("PageDown")

        async def followed() -> bool:
            now = await page.evaluate(PLAYER)
            us = now["began"] + now["time"] * 1e6
            outside = now["to"] <= now["began"] or now["from"] > now["began"] + now["duration"] * 1e6
            return bool(outside or now["from"] <= us < now["to"])

        await stage.until(followed, 10, "the picture follows the waves")
        words = await page.locator(".player-step").inner_text()
        assert words.startswith("В синхрон с кривите")
        # Nothing of the demo's was measured on a patient: it is named, and not exported.
        await page.locator("[data-command=export]").click()
        await page.locator("[data-export=nothing]").wait_for()
        assert await page.locator(".export-list .badge").count() > 0
        assert await page.locator("[data-command=export-now]").count() == 0
        await page.keyboard.press("Escape")

        measured = Measured(demo)
        visit = await measured.deliver()
        await page.goto(f"{demo.url}/#/consultations/{visit}/review")
        await see_the_trend(stage, page)
        await export_everything(stage, page, measured)
        assert not visitor.faults, visitor.faults


async def see_the_trend(stage: Any, page: Any) -> None:
    """The one high heart rate is a point of the trend where it belongs, and a row of its table."""
    canvas = page.locator("[data-trend=heart_rate] canvas[data-marks]")
    await canvas.wait_for()
    found: dict[str, Any] = {}

    async def stands_out() -> bool:
        found.update(await canvas.evaluate(TREND_INK))
        return bool(found["ink"])

    await stage.until(stands_out, 10, "the panel is drawn")
    scale = found["height"] / (found["high"] - found["low"])
    ink = np.array(found["ink"], float)
    top = ink[ink[:, 1] < (found["high"] - (HIGH + USUAL) / 2) * scale]
    # The stroke that leads there has its peak at the reading.
    peak = top[top[:, 1] == top[:, 1].min()].mean(axis=0)
    assert abs(peak[1] - (found["high"] - HIGH) * scale) <= 5, (peak, found["height"], found["low"], found["high"])
    last_at = MEASURED_SECONDS - 1 / ECG_HZ
    assert abs(peak[0] - HIGH_AT / last_at * found["width"]) <= 4, (peak, found["width"])
    assert await page.locator("[data-trend=blood_pressure] canvas").get_attribute("data-marks") == str(len(CUFF))
    await page.locator("[data-command=trend-table]").click()
    table = page.locator(".trend-table tbody")
    await table.locator("td", has_text=f"{USUAL}–{HIGH}").wait_for()
    assert await table.locator("td", has_text="120/80 (93)").count() == 1
    await page.locator("[data-command=trend-table]").click()


async def export_everything(stage: Any, page: Any, measured: Measured) -> None:
    """All of it on the screen, without a paper speed and with its hole; the download holds every sample of it."""
    await page.locator("[data-command=zoom]").select_option("all")

    async def all_is_shown() -> bool:
        shown = await page.evaluate("""() => {
          const board = document.querySelector('.review-waves .wave-board');
          return [Number(board.dataset.toUs) - Number(board.dataset.fromUs),
            document.querySelector('[data-loading]').dataset.loading, board.querySelectorAll('canvas.trace').length];
        }""")
        return bool(abs(shown[0] / 1e6 - MEASURED_SECONDS) < 1 and shown[1] == "false" and shown[2] == 1)

    await stage.until(all_is_shown, 20, "the whole is on the screen")
    assert "mm/s" not in await page.locator(".review-scale").inner_text()
    assert await page.locator(".gap-list li").count() == 1
    await page.locator("[data-command=export]").click()
    async with page.expect_download() as coming:
        await page.locator("[data-command=export-now]").click()
    download = await coming.value
    assert download.suggested_filename.startswith("telemed-")
    assert download.suggested_filename.endswith("-edf.zip")
    with zipfile.ZipFile(await download.path()) as archive:
        assert sorted(archive.namelist()) == ["ecg-001.edf", "manifest.json", "numbers.csv"]
        edf = edfio.read_edf(archive.read("ecg-001.edf"))
        assert json.loads(archive.read("manifest.json"))["left_out"] == []
        readings = archive.read("numbers.csv").decode().splitlines()
    assert len(readings) > MEASURED_SECONDS // RATE_STEP_SECONDS
    n = ECG_HZ * ECG_CHUNK_SECONDS
    expected = measured.samples[0].astype(int)
    expected[HOLE_CHUNKS.start * n : HOLE_CHUNKS.stop * n] = -(2**15)
    np.testing.assert_array_equal(edf.signals[0].digital[: expected.size], expected)

"""The main story, as its people live it: a demo from nothing, a clinician at a browser, a station with a recording.

What the page draws and what the socket carries is compared with pydicom and scipy alone: nothing of ours computes what
is expected.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
import uuid
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
from scipy import signal

LEADS = ["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"]
STATION_HZ, BROWSER_HZ = 440, 880
LOOPS_WATCHED = 10


@dataclass
class Ear:
    """What came over one consultation socket."""

    read_frame: Any
    describes: dict[int, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    frames: dict[int, list[tuple[int, np.ndarray]]] = field(default_factory=lambda: defaultdict(list))
    numerics: list[dict[str, Any]] = field(default_factory=list)

    def take(self, data: bytes) -> None:
        """Keep the samples of a native frame."""
        view, first, samples, _size = self.read_frame(data)
        self.frames[view].append((first, samples))

    def view(self, name: str, kind: str) -> int:
        """The number of the view of that kind and name."""
        return next(n for n, rows in self.describes.items() if rows[-1]["name"] == name and rows[-1]["kind"] == kind)

    def joined(self, view: int) -> tuple[int, np.ndarray]:
        """The last unbroken run of a view: first sample and (channels, n)."""
        run: list[tuple[int, np.ndarray]] = []
        for first, samples in self.frames[view]:
            if run and run[-1][0] + run[-1][1].shape[1] != first:
                run = []
            run.append((first, samples))
        return run[0][0], np.concatenate([samples for _, samples in run], axis=1)


async def listen(visitor: Any, consultation: str, ear: Ear, seconds: float) -> None:
    """Watch the ECG, raw and in the monitor band, for a while."""
    url = visitor.demo.url.replace("http", "ws") + f"/ws/consultations/{consultation}"
    async with visitor.http.ws_connect(url, headers={"Origin": visitor.demo.url}, max_msg_size=1 << 22) as socket:
        hello = {"type": "hello", "protocol": 1, "oldest": 1, "source": str(uuid.uuid4()), "page": False}
        await socket.send_json(hello)
        watched = False
        ends = asyncio.get_running_loop().time() + seconds
        while (left := ends - asyncio.get_running_loop().time()) > 0:
            try:
                message = await socket.receive(timeout=left)
            except TimeoutError:
                break
            assert message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY), message
            if message.type == aiohttp.WSMsgType.BINARY:
                ear.take(message.data)
                continue
            event = json.loads(message.data)
            if event["type"] in ("welcome", "streams") and not watched:
                for stream in event.get("streams", []):
                    if stream["kind"] == "ecg":
                        watched = True
                        for view in ("raw", "monitor"):
                            await socket.send_json({"type": "watch", "stream": stream["stream"], "view": view})
            elif event["type"] == "describe":
                ear.describes[event["view"]].append(event)
            elif event["type"] == "numeric":
                ear.numerics.append(event)
            elif event["type"] == "clock_ask":
                await socket.send_json(
                    {"type": "clock", "echo": event["server_us"], "stamp_us": time.time_ns() // 1000}
                )


def filtered(describe: dict[str, Any], counts: np.ndarray, rate: float) -> np.ndarray:
    """scipy's answer: the stages that ``describe`` names, over (n, channels) counts from the filter's first sample."""
    y = counts.astype(float)
    for stage in describe["filter"]["stages"]:
        if stage["design"] == "butter":
            sos = signal.butter(stage["order"], stage["band_hz"], stage["type"], fs=rate, output="sos")
        else:
            assert stage["design"] == "iirnotch"
            sos = signal.tf2sos(*signal.iirnotch(stage["hz"], stage["q"], fs=rate))
        zi = signal.sosfilt_zi(sos)[:, :, None] * y[0]
        y, _ = signal.sosfilt(sos, y, axis=0, zi=zi)
    return np.asarray(y)


READ_LEAD = """(canvas) => {
  const {width, height} = canvas;
  const pixels = canvas.getContext('2d').getImageData(0, 0, width, height).data;
  const columns = [];
  for (let x = 0; x < width; x++) {
    const rows = [];
    for (let y = 0; y < height; y++) if (pixels[4 * (y * width + x) + 3] > 100) rows.push(y);
    columns.push(rows);
  }
  return {columns, data: {...canvas.dataset}, width, height};
}"""


def check_lead(lead: dict[str, Any], expected_mv: np.ndarray, first: int) -> int:
    """Compare one lead's pixels with the expected millivolts of samples ``first`` …; the number of columns compared.

    Every sample has ink within 1 px of where it belongs in its column, and no ink is farther than 1 px from what the
    column and its neighbours hold (the stroke that joins two columns belongs to both).
    """
    data = {key: float(value) for key, value in lead["data"].items() if _number(value)}
    y = data["baselineY"] - expected_mv * data["pxPerUnit"]
    head = int(data["head"])
    samples = np.arange(first, first + len(y))
    seen = samples <= head
    since = samples - data["s0"]
    lap = np.floor(since / data["widthSamples"])
    column = np.floor((since - lap * data["widthSamples"]) * data["pxPerSample"]).astype(int)
    # What the sweep still shows: less than one width behind the head, less the erase bar before it.
    bar = 16 / data["pxPerSample"]
    shown = seen & (samples > head - data["widthSamples"] + bar) & (samples < head)
    compared = 0
    lows: dict[int, float] = {}
    highs: dict[int, float] = {}
    for c in np.unique(column[shown]):
        here = y[shown & (column == c)]
        lows[int(c)], highs[int(c)] = float(here.min()), float(here.max())
    for c, low in lows.items():
        if c - 1 not in lows or c + 1 not in lows or c < 1:
            continue  # an edge of the shown part: its neighbour is not known
        rows = np.array(lead["columns"][c])
        top, bottom = max(low, 0), min(highs[c], lead["height"] - 1)
        assert len(rows), f"no ink in column {c}"
        # Rows are pixel centres at y + 0.5.
        for wanted in (top, bottom):
            assert np.abs(rows + 0.5 - wanted).min() <= 1.0, (c, wanted, rows.tolist())
        near_low = min(low, lows[c - 1], lows[c + 1])
        near_high = max(highs[c], highs[c - 1], highs[c + 1])
        stroke = 0.75  # half of the 1.5 px line
        assert rows.min() + 0.5 >= near_low - 1.0 - stroke, (c, rows.tolist(), near_low)
        assert rows.max() + 0.5 <= near_high + 1.0 + stroke, (c, rows.tolist(), near_high)
        compared += 1
    return compared


def _number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True


async def test_the_story(stage: Any, tmp_path: Path) -> None:
    async with stage.run_demo(tmp_path) as demo, stage.run_browser(tmp_path) as browser:
        async with stage.visit(demo, browser, "bg", (1440, 900)) as visitor:
            consultation = await visitor.open_waiting()

            await stage.until(visitor.frames_decoded, 20, "the station's picture is shown")
            before = await visitor.frames_decoded()

            async def grows() -> bool:
                return bool(await visitor.frames_decoded() > before + 20)

            await stage.until(grows, 20, "the picture moves")

            async def station_sees() -> bool:
                return bool((await visitor.call()).get("frames_decoded", 0) > 20)

            await stage.until(station_sees, 20, "the station sees the clinician")

            async def browser_hears() -> bool:
                return abs(await visitor.remote_hz() - STATION_HZ) < 10

            async def station_hears() -> bool:
                return abs(((await visitor.call()).get("dominant_hz") or 0) - BROWSER_HZ) < 10

            await stage.until(browser_hears, 20, "the browser hears 440 Hz")
            await stage.until(station_hears, 20, "the station hears 880 Hz")

            recording = stage.read_recording((await visitor.station())["loop"])
            rate = 1000.0

            ear = Ear(stage.read_frame)
            loops = recording.length / rate * LOOPS_WATCHED
            hearing = asyncio.create_task(listen(visitor, consultation, ear, loops + 5))

            async def described() -> bool:
                return len(ear.frames) >= 2 and all(len(rows) > 20 for rows in ear.frames.values())

            await stage.until(described, 20, "blocks arrive")
            raw = ear.view("raw", "ecg")
            first, samples = ear.joined(raw)
            phase = recording.phase_of(first, samples[:, :400])

            # The canvas: two looks, because one width is a little less than ten seconds.
            monitor = ear.view("monitor", "ecg")
            describe = ear.describes[monitor][-1]
            compared: defaultdict[str, int] = defaultdict(int)
            full = 10.0

            async def drawn() -> bool:
                return bool(await visitor.page.locator("canvas[data-lead=II]").first.evaluate(
                    "(c) => (Number(c.dataset.head) - Number(c.dataset.epochFirst)) / 1000 > 11"
                ))

            await stage.until(drawn, 30, "a whole width is drawn")
            for _look in range(2):
                await visitor.page.keyboard.press("f")
                for lead in LEADS:
                    canvas = visitor.page.locator(f"canvas[data-lead='{lead}']:not([data-strip])").first
                    picture = await canvas.evaluate(READ_LEAD)
                    start = int(picture["data"]["epochFirst"])
                    head = int(picture["data"]["head"])
                    counts = recording.at(phase, start, head - start + 1)
                    expected = np.rint(filtered(describe, counts, rate))
                    index = LEADS.index(lead)
                    expected_mv = expected[:, index] * recording.gain_uv[index] / 1000
                    compared[lead] += check_lead(picture, expected_mv, start)
                await visitor.page.keyboard.press("f")
                frozen_at = head

                async def moved_on(frozen_at: int = frozen_at) -> bool:
                    return bool(await visitor.page.locator("canvas[data-lead=II]").first.evaluate(
                        "(c, was) => Number(c.dataset.head) > was + 6000", frozen_at
                    ))

                await stage.until(moved_on, 20, "the sweep goes on")
            px_per_second = float(picture["data"]["pxPerSample"]) * rate
            for lead in LEADS:
                assert compared[lead] / px_per_second >= full, (lead, compared[lead])

            await hearing
            # The blocks: raw equals the recording, monitor equals scipy, integer for integer.
            first, samples = ear.joined(raw)
            assert samples.shape[1] >= recording.length * (LOOPS_WATCHED - 1)
            np.testing.assert_array_equal(samples, recording.at(phase, first, samples.shape[1]).T)
            first, samples = ear.joined(monitor)
            start = describe["first_sample"]
            counts = recording.at(phase, start, first - start + samples.shape[1])
            expected = np.rint(filtered(describe, counts, rate)).T[:, first - start :]
            np.testing.assert_array_equal(samples, expected)

            rates = [float(row["value"]) for row in ear.numerics if row["kind"] == "heart_rate" and row["value"]]
            assert all(row["derived"] for row in ear.numerics if row["kind"] == "heart_rate")
            assert len(rates) > 20
            assert max(rates) - min(rates) <= 4, (min(rates), max(rates))

            # End it, and see the same samples in review.
            await visitor.api("POST", f"/api/v1/consultations/{consultation}/end")
            ((first, samples),) = await stage.stored_runs(visitor, consultation)
            assert samples.shape[1] > recording.length * LOOPS_WATCHED
            phase = recording.phase_of(first, samples[:, :400])
            np.testing.assert_array_equal(samples, recording.at(phase, first, samples.shape[1]).T)
            review = await visitor.api("GET", f"/api/v1/consultations/{consultation}/review")
            assert review["numerics"], "the numerics are stored too"
            assert not visitor.faults, visitor.faults


@pytest.mark.parametrize("language", ["bg", "en"])
async def test_every_word_is_in_the_chosen_language(stage: Any, tmp_path: Path, language: str) -> None:
    """The language changes in the middle of a consultation, without a reload, and stays on every page."""
    async with stage.run_demo(tmp_path) as demo, stage.run_browser(tmp_path) as browser:
        async with stage.visit(demo, browser, language, (1180, 820)) as visitor:
            consultation = await visitor.open_waiting()
            await stage.until(visitor.frames_decoded, 30, "the picture is shown")
            await visitor.page.evaluate("window.__stayed = true")
            for name in ("BG" if language == "en" else "EN", language.upper()):
                await visitor.page.locator(".languages button", has_text=name).click()
            pages: list[str] = []

            async def reads_well() -> bool:
                """Every word of the page is in the language: the canvas labels follow with the next drawing."""
                text = str(await visitor.page.inner_text("body"))
                cyrillic = sum("а" <= letter <= "я" for letter in text.lower())
                if cyrillic > 50 if language == "bg" else cyrillic == 0:
                    pages.append(text)
                    return True
                return False

            await stage.until(reads_well, 5, "the live page is in the language")
            await visitor.api("POST", f"/api/v1/consultations/{consultation}/end")
            await visitor.page.goto(f"{demo.url}/#/consultations/{consultation}/review")
            await visitor.page.locator("canvas").first.wait_for()
            await stage.until(reads_well, 5, "the review is in the language")
            await visitor.page.goto(f"{demo.url}/#/")
            await visitor.page.locator("[data-state=waiting] button").first.wait_for()
            await stage.until(reads_well, 5, "the work list is in the language")
            keys = [word for text in pages for word in text.split() if re.fullmatch(r"[a-z]+\.[a-z_.]+", word)]
            assert not keys, f"catalogue keys are shown as they are: {keys}"
            assert await visitor.page.evaluate("window.__stayed"), "the page was reloaded"
            assert await visitor.page.evaluate("document.documentElement.lang") == language
            assert not visitor.faults, visitor.faults

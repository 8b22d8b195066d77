"""The server is killed at random moments of a consultation: everything comes back by itself, nothing is lost.

``TELEMED_KILLS`` sets the number of kills (20), ``TELEMED_SEED`` repeats a run.
"""

from __future__ import annotations

import asyncio
import os
import random
import struct
import time
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pydicom.data

KILLS = int(os.environ.get("TELEMED_KILLS", "20"))
SEED = int(os.environ.get("TELEMED_SEED", str(random.SystemRandom().randrange(1 << 30))))
BACK_SECONDS = 10.0
HEADER = struct.Struct("<4sBBBBIIQQqIIIHH")

# Counts the frames that the page really shows, whatever stream or connection they come by.
COUNT_SHOWN = """() => {
  window.__stayed = true;
  window.__shown = 0;
  const video = document.getElementById('remote-video');
  const count = () => { window.__shown += 1; video.requestVideoFrameCallback(count); };
  video.requestVideoFrameCallback(count);
}"""


async def head(visitor: Any) -> int:
    """The newest sample that lead II shows."""
    return int(await visitor.page.locator("canvas[data-lead=II]").first.evaluate("(c) => Number(c.dataset.head)"))


async def all_is_well(visitor: Any, shown: int, sample: int) -> str:
    """What is still missing: the picture, a tone or the traces. Empty when all are there."""
    missing = []
    if await visitor.page.evaluate("window.__shown") < shown + 10:
        missing.append("picture")
    if abs(await visitor.remote_hz() - 440) > 10:
        missing.append("440 Hz at the browser")
    if abs(((await visitor.call()).get("dominant_hz") or 0) - 880) > 10:
        missing.append("880 Hz at the station")
    if await head(visitor) < sample + 1000:
        missing.append("traces")
    return ", ".join(missing)


async def test_twenty_kills_of_the_server(stage: Any, tmp_path: Path) -> None:
    chance = random.Random(SEED)
    print(f"seed {SEED}")
    async with stage.run_demo(tmp_path) as demo, stage.run_browser(tmp_path) as browser:
        async with stage.visit(demo, browser, "en", (1440, 900)) as visitor:
            await visitor.page.locator("[data-state=waiting] button").first.click()
            await visitor.page.wait_for_url("**/#/consultations/**")
            consultation = visitor.page.url.split("/consultations/")[1].split("/")[0]
            await stage.until(visitor.frames_decoded, 30, "the picture is shown")
            await visitor.page.evaluate(COUNT_SHOWN)
            await _wait_well(visitor, 30.0, 0, 0)
            took = []
            for kill in range(KILLS):
                # A random moment is the very subject of this test.
                await asyncio.sleep(chance.uniform(0.0, 2.0))
                killed = time.monotonic()
                demo.server().kill()
                await stage.until(demo.healthy, BACK_SECONDS, f"kill {kill}: the server is back")
                shown, sample = await visitor.page.evaluate("window.__shown"), await head(visitor)
                await _wait_well(visitor, BACK_SECONDS - (time.monotonic() - killed), shown, sample)
                took.append(time.monotonic() - killed)
            assert await visitor.page.evaluate("window.__stayed"), "the page was reloaded"
            print("back after, s:", " ".join(f"{seconds:.1f}" for seconds in took))

            async def spool_is_empty() -> bool:
                rows = await visitor.api("GET", "/api/v1/stations")
                rows = rows["stations"] if isinstance(rows, dict) else rows
                return int(rows[0]["status"]["queue"]["chunks"]) < 20

            await stage.until(spool_is_empty, 30, "the backlog is sent")
            rows = await visitor.api("GET", "/api/v1/stations")
            rows = rows["stations"] if isinstance(rows, dict) else rows
            loop = rows[0]["status"]["loop"]
            await visitor.api("POST", f"/api/v1/consultations/{consultation}/end")

            async def drained() -> bool:
                """Stored samples reach the end of the consultation without a hole."""
                return len(_stored(await _waves(visitor, consultation))) == 1

            await stage.until(drained, 30, "no hole is left in what is stored")
            ((first, samples),) = _stored(await _waves(visitor, consultation))
            assert first == 0, "the first sample after the patient was connected is stored"
            _same_as_recording(samples, loop)
            assert samples.shape[1] > 1000 * 2 * KILLS


async def _wait_well(visitor: Any, seconds: float, shown: int, sample: int) -> None:
    deadline = time.monotonic() + seconds
    while missing := await all_is_well(visitor, shown, sample):
        assert time.monotonic() < deadline, f"not back: {missing}"
        await asyncio.sleep(0.1)


async def _waves(visitor: Any, consultation: str) -> bytes:
    review = await visitor.api("GET", f"/api/v1/consultations/{consultation}/review")
    segments = [s for row in review["streams"] if row["kind"] == "ecg" for s in row["segments"]]
    query = {
        "kind": "ecg", "view": "raw",
        "from_us": str(min(s["from_us"] for s in segments)), "to_us": str(max(s["to_us"] for s in segments) + 1),
    }
    url = f"{visitor.demo.url}/api/v1/consultations/{consultation}/waves"
    async with visitor.http.get(url, params=query) as answer:
        assert answer.status == 200, await answer.text()
        return bytes(await answer.read())


def _stored(body: bytes) -> list[tuple[int, np.ndarray]]:
    """The unbroken runs of samples in a review answer: (first, (channels, n)); a sample twice fails."""
    offset = 8 + struct.unpack_from("<I", body)[0]
    offset += -offset % 8
    runs: list[tuple[int, list[np.ndarray]]] = []
    while offset < len(body):
        row = HEADER.unpack_from(body, offset)
        channels, n, first, size = row[4], row[6], row[8], row[10]
        samples = np.frombuffer(body, "<i2", channels * n, offset + HEADER.size).reshape(channels, n)
        ends = runs[-1][0] + sum(part.shape[1] for part in runs[-1][1]) if runs else None
        assert ends is None or first >= ends, "a sample is stored twice"
        if first != ends:
            runs.append((first, []))
        runs[-1][1].append(samples)
        offset += HEADER.size + size + (-(HEADER.size + size) % 8)
    return [(first, np.concatenate(parts, axis=1)) for first, parts in runs]


def _same_as_recording(samples: np.ndarray, loop: dict[str, int]) -> None:
    group = pydicom.dcmread(pydicom.data.get_testdata_file("waveform_ecg.dcm")).WaveformSequence[0]
    counts = np.frombuffer(group.WaveformData, "<i2").reshape(-1, 12)[loop["first"] : loop["end"]].T
    length = counts.shape[1]
    twice = np.concatenate([counts, counts], axis=1)
    phases = [k for k in range(length) if (twice[:, k : k + 400] == samples[:, :400]).all()]
    assert len(phases) == 1
    index = (phases[0] + np.arange(samples.shape[1])) % length
    np.testing.assert_array_equal(samples, counts[:, index])

"""The server, or its relay alone, is killed at random moments of a consultation: everything comes back by itself, and
nothing is lost.

``TELEMED_KILLS`` sets the number of kills (20), ``TELEMED_SEED`` repeats a run.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from pathlib import Path
from typing import Any

import numpy as np

KILLS = int(os.environ.get("TELEMED_KILLS", "20"))
SEED = int(os.environ.get("TELEMED_SEED", str(random.SystemRandom().randrange(1 << 30))))
RELAY_KILLS = max(1, KILLS // 4)  # of the relay alone, after those of the server
BACK_SECONDS = 10.0

# Counts the frames that the page really shows, whatever stream or connection they come by.
COUNT_SHOWN = """() => {
  window.__stayed = true;
  window.__shown = 0;
  const video = document.getElementById('remote-video');
  const count = () => { window.__shown += 1; video.requestVideoFrameCallback(count); };
  video.requestVideoFrameCallback(count);
}"""


async def all_is_well(visitor: Any, shown: int, sample: int) -> str:
    """What is still missing: the picture, a tone or the traces. Empty when all are there."""
    missing = []
    if await visitor.page.evaluate("window.__shown") < shown + 10:
        missing.append("picture")
    if abs(await visitor.remote_hz() - 440) > 10:
        missing.append("440 Hz at the browser")
    if abs(((await visitor.call()).get("dominant_hz") or 0) - 880) > 10:
        missing.append("880 Hz at the station")
    if await visitor.head() < sample + 1000:
        missing.append("traces")
    return ", ".join(missing)


async def test_kills_of_the_server_and_of_its_relay(stage: Any, tmp_path: Path) -> None:
    chance = random.Random(SEED)
    print(f"seed {SEED}")
    async with stage.run_demo(tmp_path) as demo, stage.run_browser(tmp_path) as browser:
        async with stage.visit(demo, browser, "en", (1440, 900)) as visitor:
            consultation = await visitor.open_waiting()
            await stage.until(visitor.frames_decoded, 30, "the picture is shown")
            await visitor.page.evaluate(COUNT_SHOWN)
            await _wait_well(visitor, 30.0, 0, 0)
            took = []
            for kill in range(KILLS + RELAY_KILLS):
                # A random moment is the very subject of this test.
                await asyncio.sleep(chance.uniform(0.0, 2.0))
                killed = time.monotonic()
                (demo.server() if kill < KILLS else demo.server("telemed.media.relay")).kill()
                await stage.until(demo.healthy, BACK_SECONDS, f"kill {kill}: the server is back")
                shown, sample = await visitor.page.evaluate("window.__shown"), await visitor.head()
                await _wait_well(visitor, BACK_SECONDS - (time.monotonic() - killed), shown, sample)
                took.append(time.monotonic() - killed)
                print(f"{'server' if kill < KILLS else 'relay'} back after {took[-1]:.1f} s", flush=True)
            assert await visitor.page.evaluate("window.__stayed"), "the page was reloaded"


            async def spool_is_empty() -> bool:
                return int((await visitor.station())["queue"]["chunks"]) < 20

            await stage.until(spool_is_empty, 30, "the backlog is sent")
            recording = stage.read_recording((await visitor.station())["loop"])
            await visitor.api("POST", f"/api/v1/consultations/{consultation}/end")

            async def whole() -> bool:
                return len(await stage.stored_runs(visitor, consultation)) == 1

            await stage.until(whole, 30, "no hole is left in what is stored")
            ((first, samples),) = await stage.stored_runs(visitor, consultation)
            assert first == 0, "the first sample after the patient was connected is stored"
            phase = recording.phase_of(0, samples[:, :400])
            np.testing.assert_array_equal(samples, recording.at(phase, 0, samples.shape[1]).T)
            assert samples.shape[1] > 1000 * 2 * KILLS


async def _wait_well(visitor: Any, seconds: float, shown: int, sample: int) -> None:
    deadline = time.monotonic() + seconds
    while missing := await all_is_well(visitor, shown, sample):
        assert time.monotonic() < deadline, f"not back: {missing}"
        await asyncio.sleep(0.1)

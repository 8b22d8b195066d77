"""A clinician records a visit with the patient's consent and plays it in the review, in step with the waves.

The demo station's lamp lights at each R peak. Where it lights in the recorded picture, and where the peak is in the
stored samples, is found here by libavformat and scipy alone.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from scipy import signal

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
        assert not visitor.faults, visitor.faults

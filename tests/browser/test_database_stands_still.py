"""The database stands still for ten seconds in the middle of a consultation: the traces go on, nothing is lost."""

from __future__ import annotations

import asyncio
import struct
from pathlib import Path
from typing import Any

import psutil

AWAY_SECONDS = 10.0
HEADER = struct.Struct("<4sBBBBIIQQqIIIHH")


async def test_ten_seconds_without_a_database(stage: Any, tmp_path: Path) -> None:
    async with stage.run_demo(tmp_path) as demo, stage.run_browser(tmp_path) as browser:
        async with stage.visit(demo, browser, "en", (1180, 820)) as visitor:
            await visitor.page.locator("[data-state=waiting] button").first.click()
            await visitor.page.locator("canvas[data-lead='II'][data-head]").first.wait_for()
            consultation = visitor.page.url.split("/consultations/")[1].split("/")[0]

            async def head() -> int:
                canvas = visitor.page.locator("canvas[data-lead=II]").first
                return int(await canvas.evaluate("(c) => Number(c.dataset.head)"))

            database = [
                child for child in psutil.Process(demo.process.pid).children(recursive=True)
                if "postgres" in child.name()
            ]
            assert database
            before = await head()
            for process in database:
                process.suspend()
            try:
                # Ten seconds are the very subject of this test.
                await asyncio.sleep(AWAY_SECONDS)
                assert await head() > before + 0.8 * AWAY_SECONDS * 1000, "the live trace goes on meanwhile"
            finally:
                for process in reversed(database):
                    process.resume()

            async def drained() -> bool:
                status = (await visitor.api("GET", "/api/v1/stations"))["stations"][0]["status"]
                return status is not None and status["queue"]["chunks"] < 20

            await stage.until(drained, 30, "what waited is acknowledged")
            after = await head()
            await visitor.api("POST", f"/api/v1/consultations/{consultation}/end")

            async def whole() -> bool:
                runs = _runs(await _stored(visitor, consultation))
                return len(runs) == 1 and runs[0][0] == 0 and runs[0][1] >= after - 2000

            await stage.until(whole, 30, "every sample from the first to the end is stored, once, without a hole")
            assert not visitor.faults, visitor.faults


async def _stored(visitor: Any, consultation: str) -> bytes:
    review = await visitor.api("GET", f"/api/v1/consultations/{consultation}/review")
    query = {"kind": "ecg", "view": "raw", "from_us": str(review["from_us"]), "to_us": str(review["to_us"] + 1)}
    url = f"{visitor.demo.url}/api/v1/consultations/{consultation}/waves"
    async with visitor.http.get(url, params=query) as answer:
        assert answer.status == 200, await answer.text()
        return bytes(await answer.read())


def _runs(body: bytes) -> list[tuple[int, int]]:
    """First and end sample of every unbroken run; a sample that comes twice fails."""
    offset = 8 + struct.unpack_from("<I", body)[0]
    offset += -offset % 8
    runs: list[tuple[int, int]] = []
    while offset < len(body):
        row = HEADER.unpack_from(body, offset)
        n, first, size = row[6], row[8], row[10]
        assert not runs or first >= runs[-1][1], "a sample is stored twice"
        runs = [*runs[:-1], (runs[-1][0], first + n)] if runs and runs[-1][1] == first else [*runs, (first, first + n)]
        offset += HEADER.size + size + (-(HEADER.size + size) % 8)
    return runs

"""The database stands still for ten seconds in the middle of a consultation: the traces go on, nothing is lost."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import psutil

AWAY_SECONDS = 10.0


async def test_ten_seconds_without_a_database(stage: Any, tmp_path: Path) -> None:
    async with stage.run_demo(tmp_path) as demo, stage.run_browser(tmp_path) as browser:
        async with stage.visit(demo, browser, "en", (1180, 820)) as visitor:
            consultation = await visitor.open_waiting()
            await visitor.page.locator("canvas[data-lead='II'][data-head]").first.wait_for()
            database = [
                child for child in psutil.Process(demo.process.pid).children(recursive=True)
                if "postgres" in child.name()
            ]
            assert database
            before = await visitor.head()
            for process in database:
                process.suspend()
            try:
                # Ten seconds are the very subject of this test.
                await asyncio.sleep(AWAY_SECONDS)
                assert await visitor.head() > before + 0.8 * AWAY_SECONDS * 1000, "the live trace goes on meanwhile"
            finally:
                for process in reversed(database):
                    process.resume()

            async def drained() -> bool:
                return int((await visitor.station()).get("queue", {}).get("chunks", 1000)) < 20

            await stage.until(drained, 30, "what waited is acknowledged")
            after = await visitor.head()
            await visitor.api("POST", f"/api/v1/consultations/{consultation}/end")

            async def whole() -> bool:
                runs = await stage.stored_runs(visitor, consultation)
                return len(runs) == 1 and runs[0][0] == 0 and runs[0][1].shape[1] >= after - 2000

            await stage.until(whole, 30, "every sample from the first to the end is stored, once, without a hole")
            assert not visitor.faults, visitor.faults

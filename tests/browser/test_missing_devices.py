"""A browser without camera and microphone: the page says so and goes on, seeing and hearing the station."""

from __future__ import annotations

from pathlib import Path
from typing import Any


async def test_a_browser_without_a_camera_still_sees_the_station(stage: Any, tmp_path: Path) -> None:
    async with stage.run_demo(tmp_path) as demo, stage.run_browser(tmp_path, devices=False) as browser:
        async with stage.visit(demo, browser, "bg", (1180, 820)) as visitor:
            await visitor.open_waiting()
            for device in ("camera", "microphone"):
                message = visitor.page.locator(f"[data-code^={device}_]").first
                await message.wait_for()
                assert "." in await message.inner_text(), "a sentence that says what to do"
            await stage.until(visitor.frames_decoded, 30, "the station's picture is shown")

            async def hears() -> bool:
                return abs(await visitor.remote_hz() - 440) < 10

            await stage.until(hears, 20, "the station's tone is heard")
            await visitor.page.locator("canvas[data-lead='II'][data-head]").first.wait_for()
            assert not visitor.faults, visitor.faults

"""What a station says of its spool, and what is known of its clock, reaches staff and /metrics, and goes with it."""

from __future__ import annotations

import re
from typing import Any

HOUR_US = 3_600_000_000
QUEUE = {
    "chunks": 4321, "bytes": 9_000_000, "oldest_s": 7200.5, "state": "nearly_full", "room_bytes": 1_000_000,
    "hours_left": 2.5, "refused": 3, "unreadable": 1,
}  # fmt: skip


def status(**fields: Any) -> dict[str, Any]:
    return {"type": "status", "queue": QUEUE, "call": {"state": "idle"}, "state": "recording", **fields}


async def listed(clinic: Any, who: Any) -> Any:
    code, answer = await who.get("/api/v1/stations")
    assert code == 200
    return next(one for one in answer["stations"] if one["id"] == clinic.server.seed.station_id)


async def gauges(clinic: Any) -> dict[str, float]:
    """The gauges of the seed's station: name, or name and state, → value."""
    code, text = await (await clinic.server.anonymous()).get("/metrics")
    assert code == 200
    found = re.findall(r'^(telemed_station_\w+)\{(.*)\} (\S+)$', text, re.MULTILINE)
    ours = f'station="{clinic.server.seed.station_id}"'
    return {
        " ".join([name, *re.findall(r'state="(\w+)"', labels)]): float(value)
        for name, labels, value in found if ours in labels
    }  # fmt: skip


async def test_staff_and_metrics_are_told_what_waits(clinic: Any, support: Any) -> None:
    visit = await clinic.visit()
    page, station = await clinic.page(visit), await clinic.station()
    await station.send(status())
    told = await page.said("station", lambda one: one["status"] and one["status"]["queue"]["chunks"] == 4321)
    assert told["status"]["queue"] == QUEUE
    for who in (clinic.clinician, clinic.operator):
        assert (await listed(clinic, who))["status"]["queue"] == QUEUE
    shown = await gauges(clinic)
    assert shown["telemed_station_waiting_chunks"] == 4321 and shown["telemed_station_waiting_bytes"] == 9e6
    assert shown["telemed_station_oldest_waiting_seconds"] == 7200.5
    assert shown["telemed_station_spool_hours_left"] == 2.5
    states = [shown[f"telemed_station_spool_state {state}"] for state in ("ok", "nearly_full", "full")]
    assert states == [0.0, 1.0, 0.0]
    await station.close()
    await page.said("station", lambda one: not one["online"])
    assert await gauges(clinic) == {}


async def test_a_program_of_before_says_less_and_is_understood(clinic: Any, support: Any) -> None:
    station = await clinic.station()
    await station.send({"type": "status", "queue": {"chunks": 7, "bytes": 70}, "call": {"state": "idle"}})

    async def said() -> Any:
        return (await listed(clinic, clinic.operator))["status"]

    for _ in range(500):
        if (shown := await said()) is not None:
            break
    assert shown["queue"]["chunks"] == 7 and shown["queue"]["state"] is None and shown["queue"]["oldest_s"] is None
    assert (await gauges(clinic))["telemed_station_waiting_chunks"] == 7
    bad = {**QUEUE, "hours_left": -1.0}
    for wrong in (bad, {**QUEUE, "state": "burning"}, {**QUEUE, "oldest_s": 1e300}, {**QUEUE, "room_bytes": -5}):
        await station.send(status(queue=wrong))
    await support.until(lambda: sum(one["type"] == "error" and one["error"]["code"] == "message_invalid"
                                    for one in station.messages) == 4, "each is refused")  # fmt: skip
    assert (await said())["queue"]["chunks"] == 7


async def test_a_clock_that_is_off_is_told(clinic: Any, support: Any) -> None:
    """The program's own wall clock was three hours ahead when it began."""
    visit = await clinic.visit()
    page = await clinic.page(visit)
    station = await clinic.station(skew_us=3 * HOUR_US)
    await support.until(lambda: any(one["type"] == "clock_ask" for one in station.messages), "it was asked")
    for _ in range(500):
        await station.send(status())
        if (shown := (await listed(clinic, clinic.clinician))["status"]) is not None and shown["clock"] is not None:
            break
    assert abs(shown["clock"]["offset_us"] + 3 * HOUR_US) <= shown["clock"]["error_us"] + 50_000
    assert shown["clock"]["drift_ppm"] is None, "nobody knows that after seconds"
    told = await page.said("station", lambda one: one["status"] and one["status"]["clock"])
    assert abs(told["status"]["clock"]["offset_us"] + 3 * HOUR_US) < HOUR_US
    shown = await gauges(clinic)
    assert abs(shown["telemed_station_clock_offset_seconds"] + 3 * 3600) < 1
    assert "telemed_station_clock_drift_ppm" not in shown

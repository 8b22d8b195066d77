"""Ten minutes without a sensor on the patient end the attachment; a single electrode on keeps it."""

from __future__ import annotations

from typing import Any

from telemed_devices.native import with_lead_off

from telemed.http import keys
from telemed.vitals.sensors import UNWORN_SECONDS, close_unworn


async def test_an_attachment_without_a_sensor_on_closes_itself(clinic: Any, support: Any) -> None:
    visit = await clinic.visit()
    station = await clinic.station()
    start = support.now_us()
    wave = support.ecg(1, start, 4.0)
    await clinic.announced(station, wave, visit.attachment)
    hub, around = clinic.server.app[keys.HUB], clinic.server.app[keys.INGEST].around
    board = next(iter(hub._boards.values()))
    long_ago = board.worn_at - UNWORN_SECONDS - 1

    # One electrode on: the patient is there.
    board.worn_at = long_ago
    await station.socket.send_bytes(wave.packed(0, flags=with_lead_off(0, (0, 1))))
    await clinic.acked(station, 1, 0)
    assert await close_unworn(around) == []

    # Every electrode off for longer than ten minutes.
    await station.socket.send_bytes(wave.packed(1, flags=with_lead_off(0, (0, 1, 2))))
    await clinic.acked(station, 1, 1)
    board.worn_at = long_ago
    await station.socket.send_bytes(wave.packed(2, flags=with_lead_off(0, (0, 1, 2))))
    await clinic.acked(station, 1, 2)
    closed = await close_unworn(around)
    assert [str(one) for one in closed] == [visit.attachment]
    assert (await station.said("renew", lambda one: one["attachment"] is None))["attachment"] is None
    async with clinic.server.database.connection() as connection:
        row = await connection.fetchrow("select closed_reason, closed_by from attachment")
        audited = await connection.fetchval(
            "select count(*) from audit_event where action = 'attachment.close' and actor_kind = 'system'"
        )
    assert (row["closed_reason"], row["closed_by"], audited) == ("sensors_off", None, 1)
    assert await close_unworn(around) == [], "once"

"""The stations that are connected: one connection each, the newest; and whether their keys still hold."""

from __future__ import annotations

import asyncio
from typing import Final
from uuid import UUID

import structlog

from telemed.audit import record
from telemed.errors import DatabaseUnavailable, TelemedError
from telemed.store.database import Database, DatabaseRefused, load_sql
from telemed.vitals.around import Surroundings
from telemed.vitals.counters import STATIONS_CONNECTED
from telemed.vitals.faults import KeyRevoked, NewerConnection
from telemed.vitals.sensors import LOOK_SECONDS, close_unworn
from telemed.vitals.station_state import STATIONS
from telemed.vitals.trouble import trouble
from telemed.vitals.uplink import Uplink

SQL = load_sql("vitals")
log = structlog.get_logger(__name__)

KEY_SECONDS: Final = 2.0  # one question for all keys; a revoked one is closed at once when told of it


class Ingest:
    """Every uplink of this process."""

    def __init__(self, around: Surroundings) -> None:
        self.around = around
        self._uplinks: dict[int, Uplink] = {}
        self._tasks: tuple[asyncio.Task[None], ...] = ()

    def start(self) -> None:
        """Start the commit writers and the watch over the keys."""
        self.around.committer.start()
        self._tasks = (
            asyncio.create_task(self._watch_keys(), name="station-keys"),
            asyncio.create_task(self._watch_sensors(), name="sensors"),
        )

    def source_of(self, station_id: int) -> UUID | None:
        """The clock of the station's program that is connected; None while none is."""
        uplink = self._uplinks.get(station_id)
        return None if uplink is None else uplink.source

    def close_sockets(self) -> None:
        """The server stops: let every station go."""
        for uplink in tuple(self._uplinks.values()):
            uplink.going_away()

    async def stop(self) -> None:
        """Commit what is queued (bounded) and end the tasks."""
        self._cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.around.committer.stop()

    async def kill(self) -> None:
        """End at once, as a crash would: what is queued was never acknowledged."""
        self._cancel()
        await self.around.committer.kill()

    def _cancel(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def serve(self, uplink: Uplink) -> None:
        """Run one connection; an older one of the same station is told and closed."""
        station_id = uplink.station.id
        try:
            await uplink.hello()
        except TelemedError as error:
            await uplink.refuse_and_close(error)
            return
        older = self._uplinks.get(station_id)
        self._uplinks[station_id] = uplink
        STATIONS_CONNECTED.set(len(self._uplinks))
        try:
            if older is not None:
                older.end(NewerConnection())
                if older.source != uplink.source:  # else the same run of the program, whose line broke
                    await self._audit_takeover(uplink, older)
            await uplink.run()
        finally:
            if self._uplinks.get(station_id) is uplink:
                del self._uplinks[station_id]
                STATIONS_CONNECTED.set(len(self._uplinks))
                self.around.hub.station_left(station_id)
                self.around.presence.left(station_id)
                STATIONS.gone(station_id)
                self.around.rooms.publish(
                    f"station:{station_id}", {"type": "station", "online": False, "status": None}
                )

    async def _audit_takeover(self, newer: Uplink, older: Uplink) -> None:
        try:
            await audit_takeover(self.around.database, newer, older)
        except Exception as error:  # the patient's signals go on, whatever the audit's trouble is
            log.error("takeover_not_audited", station=newer.station.id, **trouble(error))

    async def check_keys(self) -> None:
        """End every connection whose key was revoked."""
        uplinks = tuple(self._uplinks.values())
        if not uplinks:
            return
        async with self.around.database.connection() as connection:
            rows = await connection.fetch(SQL["keys_alive"], [one.key_hash for one in uplinks])
        alive = {bytes(row["key_hash"]) for row in rows}
        for uplink in uplinks:
            if uplink.key_hash not in alive:
                uplink.end(KeyRevoked())

    async def _watch_keys(self) -> None:
        while True:
            await asyncio.sleep(KEY_SECONDS)
            try:
                await self.check_keys()
            except (DatabaseUnavailable, DatabaseRefused):
                continue

    async def _watch_sensors(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await close_unworn(self.around)
            except (DatabaseUnavailable, DatabaseRefused):
                continue


async def audit_takeover(database: Database, newer: Uplink, older: Uplink) -> None:
    """Record that a second connection came with the station's key, and that the first was ended for it."""
    async with database.transaction() as connection:
        for action, one in (("station_socket.newer_connection", newer), ("station_socket.displaced", older)):
            await record(
                connection, one.station.actor, action, "event", object_kind="station",
                object_id=str(one.station.id), detail={"code": NewerConnection.code, "source": str(one.source)},
            )

"""The schema's own promises: append-only records, attachments that never overlap."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

import asyncpg
import pytest

from telemed.audit import SYSTEM, record
from telemed.store.database import Connection, Database

APPEND_ONLY = ("audit_event", "consent_event")


@pytest.mark.parametrize("table", APPEND_ONLY)
@pytest.mark.parametrize(
    "statement", ["update {} set organisation_id = null", "delete from {}", "truncate {}", "drop table {}",
                  "alter table {} add column x int", "create trigger t before insert on {} execute function f()",
                  "grant delete on {} to telemed_app"],
)  # fmt: skip
async def test_the_server_may_not_change_what_was_recorded(database: Database, table: str, statement: str) -> None:
    async with database.connection() as connection:
        if statement.startswith("grant"):  # PostgreSQL answers a grant without the right to give with a warning
            await connection.execute(statement.format(table))
            assert not await connection.fetchval("select has_table_privilege($1, 'delete')", table)
            return
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement.format(table))


async def test_the_server_appends_and_reads(database: Database) -> None:
    async with database.transaction() as connection:
        await record(connection, SYSTEM, "server.start", "event")
    async with database.connection() as connection:
        assert await connection.fetchval("select count(*) from audit_event where action = 'server.start'") == 1


async def test_the_server_owns_nothing_and_is_no_superuser(database: Database) -> None:
    async with database.connection() as connection:
        role = await connection.fetchrow("select * from pg_roles where rolname = current_user")
        assert not any(role[right] for right in ("rolsuper", "rolcreaterole", "rolcreatedb", "rolbypassrls"))
        assert await connection.fetchval("select count(*) from pg_class where relowner = $1::oid", role["oid"]) == 0
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("set role telemed_owner")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("create table mine ()")


async def attach(connection: Connection, keys: dict[str, object], opened: str, closed: str | None) -> None:
    """Attach the patient from minute ``opened`` to minute ``closed`` of an hour (None: still attached)."""
    hour = datetime(2026, 1, 1, 10, tzinfo=UTC)
    end = None if closed is None else hour.replace(minute=int(closed))
    await connection.execute(
        "insert into attachment (id, organisation_id, station_id, patient_id, opened_at, closed_at, opened_by) "
        "values ($1, $2, $3, $4, $5, $6, $7)",
        uuid4(), keys["organisation"], keys["station"], keys["patient"], hour.replace(minute=int(opened)), end,
        keys["account"],
    )  # fmt: skip


async def people(connection: Connection) -> dict[str, object]:
    """An organisation with one account, two stations and one patient."""
    keys: dict[str, object] = {"organisation": uuid4(), "account": uuid4(), "patient": uuid4()}
    await connection.execute("insert into organisation (id, name) values ($1, 'Demo')", keys["organisation"])
    await connection.execute(
        "insert into account (id, organisation_id, login, name, password_hash, roles) "
        "values ($1, $2, 'operator', 'Demo operator', '-', array['operator'])", keys["account"], keys["organisation"],
    )  # fmt: skip
    await connection.execute(
        "insert into patient (id, organisation_id, key_wrapped) values ($1, $2, $3)",
        keys["patient"], keys["organisation"], b"k",
    )  # fmt: skip
    for name in ("station", "other"):
        keys[name] = await connection.fetchval(
            "insert into station (organisation_id, name, key_wrapped) values ($1, $2, $3) returning id",
            keys["organisation"], name, b"k",
        )  # fmt: skip
    return keys


OVERLAPPING = [
    (("10", "20"), ("15", "25")), (("10", "20"), ("12", "13")), (("10", "20"), ("10", "20")),
    (("10", None), ("40", "50")), (("10", None), ("40", None)), (("10", "20"), ("05", None)),
]  # fmt: skip
APART = [(("10", "20"), ("20", "30")), (("10", "20"), ("05", "10")), (("10", "20"), ("20", None))]


@pytest.mark.parametrize(("first", "second"), OVERLAPPING)
async def test_two_attachments_never_overlap_on_a_station(
    database: Database, first: tuple[str, str | None], second: tuple[str, str | None]
) -> None:
    async with database.connection() as connection:
        keys = await people(connection)
        await attach(connection, keys, *first)
        with pytest.raises(asyncpg.ExclusionViolationError):
            await attach(connection, keys, *second)
        await attach(connection, keys | {"station": keys["other"]}, *second)


@pytest.mark.parametrize(("first", "second"), APART)
async def test_attachments_may_follow_each_other_at_once(
    database: Database, first: tuple[str, str | None], second: tuple[str, str | None]
) -> None:
    async with database.connection() as connection:
        keys = await people(connection)
        await attach(connection, keys, *first)
        await attach(connection, keys, *second)

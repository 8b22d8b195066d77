"""``telemed user``: the first administrator, and whoever must be let in when no administrator can."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from telemed.cli.environment import load_settings, log_as_lines, say
from telemed.cli.errors import OrganisationUnknown, PasswordUnfit, RoleUnknown

if TYPE_CHECKING:
    from telemed.settings import Settings

ROLES = ("clinician", "operator", "administrator", "auditor")
PASSWORD_BYTES = 12  # 96 random bits, 16 characters to type

app = typer.Typer(help="Accounts of the installation.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def group() -> None:
    """Accounts of the installation."""


@app.command("add")
def add(
    login: Annotated[str, typer.Argument(help="What the person types to sign in.")],
    name: Annotated[str, typer.Option(help="The name that others see.")],
    role: Annotated[list[str], typer.Option(help="clinician, operator, administrator, auditor; repeat for several.")],
    organisation: Annotated[str | None, typer.Option(help="Made when there is none of this name.")] = None,
    language: Annotated[str, typer.Option(help="bg or en.")] = "bg",
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input; else one is made.")
    ] = False,
    home: Annotated[Path | None, typer.Option(help="Data folder (TELEMED_HOME).")] = None,
) -> None:
    """Add an account; prints its password when none was given. Works beside a running server and without one."""
    import asyncio
    import secrets
    import sys

    log_as_lines()
    password = sys.stdin.readline().rstrip("\n") if password_stdin else secrets.token_urlsafe(PASSWORD_BYTES)
    settings = load_settings(home=home)
    asyncio.run(add_account(settings, login, name, password, role, organisation, language))
    say(f"{login} can sign in." if password_stdin else f"{login} can sign in with the password {password}")


async def add_account(
    settings: Settings,
    login: str,
    name: str,
    password: str,
    roles: Sequence[str],
    organisation: str | None = None,
    language: str = "bg",
) -> None:
    """Make the account, and its organisation when there is none of that name.

    ``organisation`` None means the only one there is. Raises ``OrganisationUnknown``, ``LoginTaken``,
    ``RoleUnknown``, ``PasswordUnfit``, ``SettingsInvalid`` and what the database raises.
    """
    from telemed.audit import SYSTEM, record
    from telemed.cli.database import reachable_database
    from telemed.cli.errors import SettingsInvalid
    from telemed.cli.serve import prepare_schema
    from telemed.identity import accounts, organisations
    from telemed.identity.passwords import LONGEST, SHORTEST, hash_password
    from telemed.store.database import Database

    for role in roles:
        if role not in ROLES:
            raise RoleUnknown(name=role)
    if not SHORTEST <= len(password) <= LONGEST:
        raise PasswordUnfit(shortest=SHORTEST, longest=LONGEST)
    for option, value, fits in (
        ("--language", language, language in ("bg", "en")),
        ("login", login, 3 <= len(login) <= 120),  # the table's own bounds
        ("--name", name, 1 <= len(name) <= 200),
    ):
        if not fits:
            raise SettingsInvalid(name=option, value=value[:80])
    async with reachable_database(settings) as urls:
        await prepare_schema(settings, urls)
        database = Database(urls.server)
        await database.open()
        try:
            async with database.transaction() as connection:
                known = await organisations.listed(connection)
                if organisation is None:
                    if len(known) != 1:
                        raise OrganisationUnknown(count=len(known))
                    organisation_id = known[0].id
                else:
                    named = [one.id for one in known if one.name == organisation]
                    organisation_id = named[0] if named else await organisations.create(connection, organisation)
                account = await accounts.create(
                    connection, organisation_id, login, name, hash_password(password), roles, language
                )
                await record(
                    connection, SYSTEM, "account.create", "event", object_kind="account", object_id=str(account.id),
                    organisation_id=organisation_id, detail={"by": "command line", "roles": sorted(set(roles))},
                )
        finally:
            await database.close()

"""The command ``telemed``: its groups, and what every command does about errors.

A refusal is one line and exit status 1; nothing heavy is imported before a command runs.
"""

from __future__ import annotations

import errno
import sys
from typing import Annotated

import typer

from telemed import __version__
from telemed.cli import analyze, backup, database, demo, migrate, redecode, restore, serve, station, user
from telemed.cli.sentences import line
from telemed.errors import TelemedError

REFUSED = 1  # the exit status of a refusal
INTERRUPTED = 130  # 128 + SIGINT, as shells count

app = typer.Typer(
    name="telemed",
    help="Telemedicine sessions: a station's picture and live, calibrated vital signs on a clinician's screen.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # importing rich for a help text takes longer than the help text
    pretty_exceptions_enable=False,
)
app.command("serve")(serve.serve)
app.command("demo")(demo.demo)
app.command("migrate")(migrate.migrate)
app.command("backup")(backup.backup)
app.command("restore")(restore.restore)
app.command("redecode")(redecode.redecode)
app.command("analyze")(analyze.analyze)
app.add_typer(database.app, name="db")
app.add_typer(station.app, name="station")
app.add_typer(user.app, name="user")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"telemed {__version__}")
        raise typer.Exit()


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Telemed. It is not a medical device: see the README."""


def run() -> None:
    """Run the command line and end the process with its status."""
    try:
        app()
    except TelemedError as error:
        _refuse(error)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        from telemed.store.folders import DiskFull

        _refuse(DiskFull(path=str(error.filename or ".")))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _refuse(error: TelemedError) -> None:
    sys.stderr.write(f"{line(error.code, error.params)}\n")
    sys.exit(REFUSED)

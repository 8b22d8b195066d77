"""``telemed demo``: a server, a station that replays a real recording, and an operator who brings patients."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from telemed.cli.environment import load_settings, say
from telemed.cli.errors import DemoPartFailed, DemoSlow
from telemed.cli.sentences import language

if TYPE_CHECKING:
    from telemed.settings import Settings
    from telemed.supervise import Death, Kept, Program, Supervisor

RECORDING = "data/test_files/waveform_ecg.dcm"  # of pydicom's wheel: a real 12-lead ECG, 10 s, 1000 Hz
READY_SECONDS = 180.0  # a first start on a slow disk; 3 s measured
LOOK_SECONDS = 0.1
ANSWER_SECONDS = 2.0
LOG_TAIL_BYTES = 4_000

Answer = TypeVar("Answer")


def demo(
    port: Annotated[int | None, typer.Option(help="TCP port (TELEMED_PORT, else 8080).")] = None,
    home: Annotated[Path | None, typer.Option(help="Data folder (TELEMED_HOME).")] = None,
) -> None:
    """Show everything on this machine: the address and the sign-in are printed. Ctrl-C ends it; the data stays."""
    import asyncio

    failed = asyncio.run(run(load_settings(port=port, host="127.0.0.1", home=home)))
    if failed:
        typer.echo(failed, err=True)
        raise typer.Exit(1)


async def run(settings: Settings) -> str | None:
    """Run the demo until a signal. Returns the refusal of a part that could not start, else None."""
    import asyncio
    import contextlib

    from telemed.cli.serve import listen
    from telemed.store.folders import HomeLock, make_home
    from telemed.supervise import Supervisor, stop_signals

    make_home(settings.home)
    # A folder or a port that is taken is told before anything is started; the server takes both for itself.
    lock = HomeLock(settings.home)
    lock.take()
    lock.leave()
    listen(settings.host, settings.port).close()
    supervisor = Supervisor(_tell)
    with stop_signals() as stop:
        playing = asyncio.create_task(_play(settings, supervisor))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({playing, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        playing.cancel()
        if stop.is_set():
            say("\nStopping … / Спиране …")
        try:
            with contextlib.suppress(asyncio.CancelledError):
                return await playing
        finally:
            await supervisor.stop()
    say(f"Stopped. The data is kept in {settings.home}\nСпряно. Данните се пазят в {settings.home}")
    return None


async def _play(settings: Settings, supervisor: Supervisor) -> str | None:
    """Start the parts one after the other, then be the operator for good; returns a part's refusal."""
    from telemed.cli import demo_record
    from telemed.cli.serve import address

    where, spoken = address(settings), language()
    demo_record.load(settings.home)  # passwords are kept before anything has them
    say("Starting the database and the server … / Стартиране на базата данни и сървъра …")
    server = await supervisor.start(_server(settings))
    # While it starts: what is only needed to speak to it.
    from telemed.cli import demo_day, demo_panel, demo_seed
    from telemed.cli.server_client import ServerClient

    if not await _answers(where, server):
        return _last_words(server)
    record = await _patiently(lambda: demo_seed.seed(settings, where, spoken), server)
    await supervisor.start(_station(settings, where, record.station_key or ""))
    async with ServerClient(where, demo_seed.OPERATOR, record.passwords[demo_seed.OPERATOR]) as operator:
        await _patiently(operator.sign_in, server)
        current = await _patiently(lambda: demo_day.step(operator, record), server)
        await _patiently(lambda: demo_day.appoint(operator, record, datetime.now(UTC)), server)
        link = await demo_day.patient_link(operator, current, spoken)
        demo_panel.show(where, record.passwords, settings.home, link)
        await demo_day.operate(operator, record)
    return None


def _server(settings: Settings) -> Program:
    import sys

    from telemed.supervise import Program

    command = (sys.executable, "-m", "telemed", "serve", "--host", settings.host, "--port", str(settings.port))
    return Program("server", command, {"TELEMED_HOME": str(settings.home)}, settings.home / "logs" / "server.log")


def _station(settings: Settings, where: str, key: str) -> Program:
    """The station program. Its key goes by the environment: a command line can be read by every account."""
    import sys
    from importlib.util import find_spec

    from telemed.supervise import Program

    found = find_spec("pydicom")
    if found is None or found.origin is None:
        raise DemoPartFailed(name="station", log="-")
    recording = Path(found.origin).parent / RECORDING
    command = (
        sys.executable, "-m", "telemed", "station", "run", "--server", where, "--device", f"replay:{recording}",
        "--exam-camera", "generated", "--home", str(settings.home / "station"),
    )  # fmt: skip
    return Program("station", command, {"TELEMED_STATION_KEY": key}, settings.home / "logs" / "station.log")


async def _patiently(action: Callable[[], Awaitable[Answer]], server: Kept) -> Answer:
    """What the action returns, tried again while the server is away. Raises ``DemoSlow``."""
    import asyncio

    from telemed.cli.server_client import ServerUnreachable

    try:
        async with asyncio.timeout(READY_SECONDS):
            while True:
                try:
                    return await action()
                except ServerUnreachable:
                    await asyncio.sleep(LOOK_SECONDS)
    except TimeoutError:
        raise DemoSlow(log=str(server.program.log)) from None


async def _answers(where: str, server: Kept) -> bool:
    """Wait until the server is well; False when it ended first. Raises ``DemoSlow``."""
    import asyncio
    import contextlib

    import aiohttp

    patience = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
    try:
        async with asyncio.timeout(READY_SECONDS), aiohttp.ClientSession(timeout=patience) as session:
            while not server.deaths:
                with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                    async with session.get(f"{where}/healthz") as answer:
                        if answer.status == 200:
                            return True
                await asyncio.sleep(LOOK_SECONDS)
    except TimeoutError:
        raise DemoSlow(log=str(server.program.log)) from None
    return False


def _last_words(part: Kept) -> str:
    """The one line in which the part refused. Raises ``DemoPartFailed`` when it said none."""
    log = part.program.log
    if log is not None and log.exists():
        lines = log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace").rstrip().splitlines()
        if lines and lines[-1].endswith("]"):  # a refusal ends with its code
            return lines[-1]
    raise DemoPartFailed(name=part.program.name, log=str(log))


def _tell(death: Death) -> None:
    say(f"{death.name}: ended with status {death.status}, starting again / спря и се пуска отново")

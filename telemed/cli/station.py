"""``telemed station``: the program that runs at a station, beside the devices."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from telemed.cli.environment import load_settings, say
from telemed.cli.sentences import line

app = typer.Typer(help="The program of a telemedicine station.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def group() -> None:
    """The program of a telemedicine station."""


@app.command("run")
def run(
    server: Annotated[str, typer.Option(help="Address of the server, https://… or http://127.0.0.1:8080.")],
    key: Annotated[
        str, typer.Option(envvar="TELEMED_STATION_KEY", help="The station's key; the environment hides it better.")
    ],
    device: Annotated[str, typer.Option(help="simulator, or replay:FILE.")] = "simulator",
    scenario: Annotated[str, typer.Option(help="What the simulator plays first.")] = "sinus",
    seed: Annotated[int, typer.Option(help="The same seed, the same samples.")] = 1,
    device_heart_rate: Annotated[
        bool, typer.Option("--device-heart-rate", help="A simulated device sends a heart rate of its own.")
    ] = False,
    camera: Annotated[str, typer.Option(help="generated, none, file:PATH or /dev/video0.")] = "generated",
    exam_camera: Annotated[
        str, typer.Option(help="A second picture, of what is examined: generated, none, file:PATH or /dev/video1.")
    ] = "none",
    microphone: Annotated[str, typer.Option(help="tone, none, file:PATH or alsa:DEVICE.")] = "tone",
    speaker: Annotated[str, typer.Option(help="none, alsa:DEVICE or file:PATH.")] = "none",
    home: Annotated[
        Path | None, typer.Option(help="Folder of what is not sent yet (default: station in TELEMED_HOME).")
    ] = None,
    spool_key_file: Annotated[
        Path | None,
        typer.Option(envvar="TELEMED_SPOOL_KEY_FILE", help="Key that seals it (default: spool.key in that folder)."),
    ] = None,
    spool_bytes: Annotated[
        int | None,
        typer.Option(envvar="TELEMED_SPOOL_BYTES", min=1, help="Most that may wait (default: 4 GiB)."),
    ] = None,
    spool_reserve_bytes: Annotated[
        int | None,
        typer.Option(
            envvar="TELEMED_SPOOL_RESERVE_BYTES", min=0,
            help="What stays free on its disk (default: 512 MiB, of a small disk a sixteenth).",
        ),
    ] = None,
) -> None:
    """Measure, keep every sample on disk until the server has it, publish the cameras, play the people of the call."""
    import asyncio

    from telemed_station import program
    from telemed_station.errors import StationError
    from telemed_station.spool_room import BYTES_MAX, RESERVE_BYTES

    settings = program.StationSettings(
        server=server, key=key, home=home or load_settings().home / "station", device=device, scenario=scenario,
        seed=seed, device_heart_rate=device_heart_rate, camera=camera, exam_camera=exam_camera, microphone=microphone,
        speaker=speaker, spool_key_file=spool_key_file, spool_bytes=spool_bytes or BYTES_MAX,
        spool_reserve_bytes=RESERVE_BYTES if spool_reserve_bytes is None else spool_reserve_bytes,
    )  # fmt: skip
    try:
        asyncio.run(program.run(settings))
    except StationError as error:
        typer.echo(line(error.code, error.params), err=True)
        raise typer.Exit(1) from None


@app.command("patient")
def patient(
    name: Annotated[str | None, typer.Option(help="Who sits at the station now, while its line is down.")] = None,
    born: Annotated[int | None, typer.Option(help="Year of birth; left out when nobody knows it.")] = None,
    gone: Annotated[bool, typer.Option("--gone", help="Whoever was entered is not at the station any more.")] = False,
    home: Annotated[
        Path | None, typer.Option(help="Folder of the station program (default: station in TELEMED_HOME).")
    ] = None,
) -> None:
    """Say who is at a station whose line is down, so that nothing measured is anybody else's; alone: who is set."""
    from telemed_station import console
    from telemed_station.errors import StationError
    from telemed_station.people import fit_name, fit_year

    if (gone and (name is not None or born is not None)) or (born is not None and name is None):
        raise typer.BadParameter("--name [--born], or --gone, or neither")
    question: dict[str, object] = {"do": "gone"} if gone else {"do": "show"}
    try:
        if name is not None:
            question = {"do": "enter", "name": fit_name(name), "birth_year": fit_year(born)}
        person = console.ask(home or load_settings().home / "station", question).get("person")
    except StationError as error:
        typer.echo(line(error.code, error.params), err=True)
        raise typer.Exit(1) from None
    if isinstance(person, dict):
        year = person.get("birth_year")
        say(f"{person.get('name')}{'' if year is None else f', {year}'}")
    else:
        say("Nobody entered at this station is there.")


@app.command("status")
def status(
    home: Annotated[
        Path | None, typer.Option(help="Folder of the station program (default: station in TELEMED_HOME).")
    ] = None,
) -> None:
    """Say whether the station is connected and records, what waits to be sent, and for how long there is room."""
    from telemed_station import console
    from telemed_station.errors import StationError

    try:
        answer = console.ask(home or load_settings().home / "station", {"do": "show"})
    except StationError as error:
        typer.echo(line(error.code, error.params), err=True)
        raise typer.Exit(1) from None
    for text in status_lines(answer):
        say(text)


def status_lines(answer: Mapping[str, Any]) -> list[str]:
    """The console's answer in words, one fact a line."""
    queue = answer["queue"]
    lines = [
        "Connected to the server." if answer["connected"] else "Not connected to the server.",
        "Recording." if answer["state"] == "recording" else "NOT recording: there is no more room for what waits.",
        f"Waiting to be sent: {queue['chunks']} chunks, {queue['bytes'] / 1e6:.1f} MB"
        + ("." if queue["oldest_s"] is None else f", the oldest for {queue['oldest_s'] / 60:.0f} min."),
    ]
    if queue["hours_left"] is not None:
        nearly = "NEARLY FULL: room" if queue["state"] == "nearly_full" else "Room"
        lines.append(f"{nearly} for {queue['hours_left']:.1f} h more at the present rate.")
    if queue["refused"]:
        lines.append(f"Refused by the server and kept as evidence: {queue['refused']} chunks.")
    if queue["unreadable"]:
        lines.append(f"Set aside because their key is lost: {queue['unreadable']} files, spool.sqlite3.unreadable-….")
    return lines

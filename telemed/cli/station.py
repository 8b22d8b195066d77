"""``telemed station``: the program that runs at a station, beside the devices."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

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
) -> None:
    """Measure, keep every sample on disk until the server has it, publish the cameras, play the people of the call."""
    import asyncio

    from telemed_station import program
    from telemed_station.errors import StationError

    settings = program.StationSettings(
        server=server, key=key, home=home or load_settings().home / "station", device=device, scenario=scenario,
        seed=seed, device_heart_rate=device_heart_rate, camera=camera, exam_camera=exam_camera, microphone=microphone,
        speaker=speaker,
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

"""What the demo prints once it runs: where to go, how to sign in, what to press. In both languages."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

BY_API = ("demo-admin", "demo-auditor")
WIDTH = 92  # fits a terminal of 100 columns; rich narrows it where there are fewer

STEPS = (
    (
        "Open the address, sign in as demo-clinician and press Open beside the waiting patient. Allow camera and "
        "microphone, or go on without. Press End consultation, then Review to scroll back through it. The next "
        "patient waits.",
        "Отворете адреса, влезте като demo-clinician и натиснете „Отвори“ до чакащия пациент. Разрешете камера и "
        "микрофон или продължете без тях. Натиснете „Приключи консултацията“, после „Преглед на записа“. "
        "Следващият пациент чака.",
    ),
    (
        "The ECG is a recording, the other signals are simulated. Telemed is not a medical device: do not rely on it "
        "in an emergency; call 112.",
        "ЕКГ е запис, останалите сигнали са симулирани. Telemed не е медицинско изделие: при спешен случай не "
        "разчитайте на него; обадете се на 112.",
    ),
)


PATIENT = (
    "The patient's side: open this link in a private window, or in another browser.",
    "Страната на пациента: отворете този линк в частен прозорец или в друг браузър.",
)


def show(address: str, passwords: Mapping[str, str], home: Path, link: str | None) -> None:
    """Print the panel; without a terminal it is plain text of the same width. ``link`` is the waiting patient's."""
    console = Console(width=None if Console().is_terminal else WIDTH, highlight=False)
    signs = Table.grid(padding=(0, 3))
    signs.add_row(Text("Address / Адрес"), Text(address, style="bold underline", no_wrap=True))
    width = max(map(len, passwords))
    for number, (login, password) in enumerate(passwords.items()):
        # Administrators and auditors have no pages in this version; they use the HTTP interface.
        title = "Sign in / Вход" if number == 0 else "By API / През API" if login == BY_API[0] else ""
        signs.add_row(Text(title), Text(f"{login:<{width}}   {password}", "dim" if login in BY_API else "bold"))
    blocks: list[RenderableType] = [signs]
    blocks += [Text(f"\n{english}\n{bulgarian}") for english, bulgarian in STEPS]
    if link is not None:
        blocks.append(Text("\n{}\n{}".format(*PATIENT)))
        blocks.append(Text(link, style="underline", overflow="fold"))
    blocks.append(Text(f"\nCtrl-C ends it / спира. Data / данни: {home}", "dim"))
    panel = Panel(Group(*blocks), title="Telemed", border_style="cyan", width=min(WIDTH, console.width), padding=(1, 2))
    with contextlib.suppress(OSError):
        console.print(panel)

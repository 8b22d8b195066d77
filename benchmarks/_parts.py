"""What a running server is made of, and what each part costs."""

from __future__ import annotations

import psutil

WORDS = {"postgres": "database", "telemed.media.relay": "relay", "telemed.vitals.storage": "compactor"}


def cpu_by_part(server: psutil.Process) -> dict[str, float]:
    """Seconds of processor time so far, in user and system: of the server's own process and of its parts."""
    spent = dict.fromkeys(("server", *WORDS.values()), 0.0)
    for one in (server, *server.children(recursive=True)):
        try:
            times, command = one.cpu_times(), " ".join(one.cmdline())
        except psutil.NoSuchProcess:
            continue  # PostgreSQL ends a connection's process with it
        part = "server" if one == server else next((WORDS[word] for word in WORDS if word in command), None)
        if part is not None:
            spent[part] += times.user + times.system
    return spent

#!/bin/sh
# Finds a Python that can set Telemed up, then hands over to setup.py; one line when there is none.
# The clone's own environment is used once it is whole and was made in this very folder.
cd "$(dirname "$0")/.." || exit 1
if [ "$(cat .venv/telemed-place 2>/dev/null)" = "$PWD" ]; then candidates=".venv/bin/python"; else candidates=""; fi
for candidate in $candidates python3 python3.13 python3.12 python3.11; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        exec "$candidate" make/setup.py "$@"
    fi
done
found=$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
echo "Telemed needs Python 3.11 or newer (python3 here: ${found:-none}). On Debian or Ubuntu: apt install python3 python3-venv. Then run the command again." >&2
exit 1

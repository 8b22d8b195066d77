#!/bin/sh
# Installs what benchmarks and fault tests need beside Telemed: traffic rules for a failing network, a TURN server and
# an SFU to compare with. `make test` never depends on it. Debian or Ubuntu, as root.
set -eu
PACKAGES="iproute2 iptables coturn janus"
[ "$(id -u)" = 0 ] || { echo "make peers installs packages: run it as root (sudo make peers)." >&2; exit 1; }
command -v apt-get >/dev/null || { echo "make peers knows Debian and Ubuntu; install yourself: $PACKAGES" >&2; exit 1; }
echo "Installing $PACKAGES ..."
apt-get update -q >/dev/null
# The services are started by the benchmarks with settings of their own, never by the system.
DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -q --no-install-recommends $PACKAGES >/dev/null
echo "Done."

#!/bin/sh
# Installs what benchmarks and fault tests need beside Telemed: traffic rules for a failing network, a TURN server, an SFU
# and a database to compare with, and media clients that others wrote. `make test` never depends on it. Debian or Ubuntu, as root.
set -eu
PACKAGES="iproute2 iptables ethtool coturn janus influxdb
  simple-whip-client gstreamer1.0-nice gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gcc libc6-dev"
# A WHIP and WHEP client for browsers, by others: no part of Telemed, so not in its lock. The sum is of the package.
CLIENT=whip-whep
CLIENT_VERSION=1.2.0
CLIENT_SUM=f032b2b2015da76268d3f4a0450af2cf24ae984c6bf7cc5bfd494763cefaf786
[ "$(id -u)" = 0 ] || { echo "make peers installs packages: run it as root (sudo make peers)." >&2; exit 1; }
command -v apt-get >/dev/null || { echo "make peers knows Debian and Ubuntu; install yourself: $PACKAGES" >&2; exit 1; }
echo "Installing $PACKAGES ..."
apt-get update -q >/dev/null
# The services are started by the benchmarks with settings of their own, never by the system.
DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -q --no-install-recommends $PACKAGES >/dev/null
if command -v npm >/dev/null; then
    rm -rf "build/peers/$CLIENT"
    mkdir -p "build/peers/$CLIENT"
    (cd build/peers && npm pack --silent "$CLIENT@$CLIENT_VERSION" >/dev/null \
        && echo "$CLIENT_SUM  $CLIENT-$CLIENT_VERSION.tgz" | sha256sum --check --quiet \
        && tar -xzf "$CLIENT-$CLIENT_VERSION.tgz" --strip-components=1 -C "$CLIENT")
else
    echo "No npm: without $CLIENT one test of foreign clients is skipped."
fi
echo "Done."

#!/bin/sh
# Proves `make demo` on a fresh Debian 12 with only python3, python3-venv and make added: a debootstrap folder, this
# tree as it would be committed, one start from nothing and a second one without any network. Run as root.
# The mirror, name service, certificates and the settings of pip and npm are this machine's, taken when it runs.
set -eu
cd "$(dirname "$0")/.."
PORT=${PORT:-18090}
SUITE=bookworm
FIRST_SECONDS=1200
SECOND_SECONDS=60

[ "$(id -u)" = 0 ] || { echo "make chroot needs root (it makes a Debian in a folder)." >&2; exit 1; }
for tool in debootstrap unshare nsenter ip git tar; do
    command -v "$tool" >/dev/null || { echo "make chroot needs $tool: apt install debootstrap util-linux iproute2 git" >&2; exit 1; }
done

mirror=$(apt-get indextargets --format '$(REPO_URI) $(CODENAME)' 'Created-By: Packages' 2>/dev/null \
    | awk -v suite="$SUITE" '$2 == suite { print $1; exit }')
work=$(mktemp -d)
root=$work/debian
running=
finish() {
    # Killing unshare ends every process of its namespace, and with them its mounts.
    if [ -n "$running" ]; then
        kill -9 "$running" 2>/dev/null || true
        wait "$running" 2>/dev/null || true
    fi
    rm -rf --one-file-system "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM HUP

echo "Making Debian 12 in a folder ..."
debootstrap --variant=minbase --include=python3,python3-venv,make "$SUITE" "$root" ${mirror:+"$mirror"} \
    >"$work/debootstrap.log" 2>&1 || { tail -5 "$work/debootstrap.log" >&2; exit 1; }

mkdir -p "$root/srv/telemed"
git ls-files -co --exclude-standard | while read -r file; do [ -e "$file" ] && echo "$file"; done \
    | tar cf - -T - | tar xf - -C "$root/srv/telemed"
for file in /etc/resolv.conf /etc/hosts /etc/pip.conf "$HOME/.npmrc" "$HOME/.config/pip/pip.conf"; do
    [ -f "$file" ] || continue
    case $file in "$HOME"/*) place=$root/root/${file#"$HOME"/} ;; *) place=$root$file ;; esac
    mkdir -p "$(dirname "$place")"
    cp -L "$file" "$place"
done
env | grep -iE '^(pip_|npm_|node_extra|ssl_|curl_ca|requests_ca|https?_proxy|no_proxy)' >"$work/environment" || true

# Starts make demo inside; $1 is an option of unshare for a network of its own, or nothing.
start() {
    cat >"$work/inside.sh" <<'INSIDE'
set -eu
root=$1 work=$2 port=$3
ip link set lo up
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mkdir -p "$root/etc/ssl/certs"
[ ! -d /etc/ssl/certs ] || mount --bind /etc/ssl/certs "$root/etc/ssl/certs"
set --
while IFS= read -r line; do set -- "$@" "$line"; done <"$work/environment"
exec chroot "$root" /usr/bin/env -i HOME=/root LANG=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@" \
    make -C /srv/telemed --no-print-directory demo PORT="$port"
INSIDE
    unshare --mount --pid --fork --kill-child $1 sh "$work/inside.sh" "$root" "$work" "$PORT" >"$work/demo.log" 2>&1 &
    running=$!
}

# Waits until it serves, at most $1 seconds; prints how long that took.
served() {
    begun=$(date +%s)
    until nsenter -t "$running" -n python3 -c "
import urllib.request
assert urllib.request.urlopen('http://127.0.0.1:$PORT/healthz', timeout=2).status == 200
assert b'<html' in urllib.request.urlopen('http://127.0.0.1:$PORT/', timeout=2).read()" 2>/dev/null; do
        now=$(date +%s)
        if ! kill -0 "$running" 2>/dev/null || [ $((now - begun)) -gt "$1" ]; then
            echo "make demo does not serve:" >&2
            cat "$work/demo.log" >&2
            exit 1
        fi
        sleep 0.2
    done
    echo "$(($(date +%s) - begun)) s"
}

# Ctrl-C, as a person would end it; everything must be gone by itself.
stop() {
    inside=$(cat "/proc/$running/task/$running/children")
    kill -INT $(cat "/proc/${inside% }/task/${inside% }/children")
    begun=$(date +%s)
    while kill -0 "$running" 2>/dev/null; do
        [ $(($(date +%s) - begun)) -le 30 ] || { echo "make demo does not end:" >&2; cat "$work/demo.log" >&2; exit 1; }
        sleep 0.2
    done
    running=
}

start ""
echo "First start, from nothing: $(served $FIRST_SECONDS)"
sed 's/^/  | /' "$work/demo.log"
stop
start --net
echo "Second start, without a network: $(served $SECOND_SECONDS)"
stop
echo "make demo works in a fresh Debian 12."

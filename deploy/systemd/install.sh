#!/bin/sh
# Installs, or brings up to date, callstream on this machine: `install.sh` for everything on one machine (callstream.service), or
# `install.sh STAGE …` for workers against systems of your own (callstream.target). As root, from a copy of the repository in
# /opt/callstream. What an operator has changed in /etc/callstream stays as it is. It starts nothing.
set -eu
here=/opt/callstream
cd "$(dirname "$0")/../.."
[ "$(pwd -P)" = "$here" ] || { echo "install.sh: the repository must lie in $here: git clone REPOSITORY $here" >&2; exit 1; }
[ "$(id -u)" = 0 ] || { echo "install.sh: only root can do this: sudo $0" >&2; exit 1; }
python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "install.sh: Python 3.11 or newer is needed; PYTHON names it" >&2; exit 1; }
# It starts its children anew when they end: some would be of the new release, and some of the old.
case $#,$(systemctl is-active callstream || true) in
  0,active | 0,activating | 0,deactivating)
    echo "install.sh: callstream is running: systemctl stop callstream, run this again, systemctl start callstream" >&2
    exit 1
    ;;
esac

id callstream > /dev/null 2>&1 || useradd --system --home-dir /var/lib/callstream --shell /usr/sbin/nologin callstream
if [ $# -eq 0 ]; then lock=embedded.lock; else lock=image.lock; fi
[ -x .venv/bin/python ] || "$python" -m venv .venv
.venv/bin/pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r requirements/build.lock
.venv/bin/pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r "requirements/$lock"
.venv/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --force-reinstall .

install -d -m 0755 /etc/callstream
install -m 0644 deploy/systemd/*.service deploy/systemd/*.timer deploy/systemd/*.target /etc/systemd/system/
for folder in deploy/systemd/*.service.d; do
  install -d -m 0755 "/etc/systemd/system/$(basename "$folder")"
  install -m 0644 "$folder"/*.conf "/etc/systemd/system/$(basename "$folder")/"
done
systemctl daemon-reload
if [ $# -eq 0 ]; then
  echo "installed: systemctl enable --now callstream (start callstream, after an upgrade)"
  exit
fi
[ -e /etc/callstream/callstream.toml ] || install -m 0644 deploy/callstream.example.toml /etc/callstream/callstream.toml
for name in commands "$@"; do
  [ -e "/etc/callstream/$name.env" ] || install -m 0600 "deploy/env/$name.example.env" "/etc/callstream/$name.env"
done
for stage in "$@"; do systemctl enable --quiet "callstream-worker@$stage"; done
systemctl enable --quiet callstream.target
echo "installed: change /etc/callstream/*.toml and *.env, then systemctl start callstream.target"

#!/bin/bash
# Installs Hive on this machine from a release build: programs to /usr/lib/hive, systemd units, and a configuration for one node in
# /var/lib/hive. Needs root and `make build` before. Run it again to upgrade: state, certificate and credential stay.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
bin=${CARGO_TARGET_DIR:-target}/release

[ "$(id -u)" = 0 ] || { echo "install.sh needs root" >&2; exit 1; }
programs=(hive hived blockd netd objectd awsd hive-vmm)
for program in "${programs[@]}"; do
  [ -x "$bin/$program" ] || { echo "$bin/$program is missing: run make build" >&2; exit 1; }
done
for tool in ovsdb-server ovsdb-tool ovs-vsctl; do
  command -v "$tool" >/dev/null || { echo "$tool is missing: apt-get install openvswitch-switch, then disable its services" >&2; exit 1; }
done
"$bin/hive" node check || echo "warning: the daemons will run, but guests will not start" >&2

install -d -m 755 /usr/lib/hive
install -m 755 -s "${programs[@]/#/$bin/}" /usr/lib/hive/
install -m 755 .hive/cache/nats-server /usr/lib/hive/nats-server
ln -sfn /usr/lib/hive/hive /usr/bin/hive
install -m 644 packaging/systemd/*.service packaging/systemd/*.target /etc/systemd/system/

export HIVE_ROOT=/var/lib/hive
if [ ! -e "$HIVE_ROOT/config/profile.toml" ]; then hive config generate --profile prod; else hive config generate; fi
systemctl daemon-reload
systemctl enable --now hive.target
echo "Clients: see $HIVE_ROOT/env; state of the node: HIVE_ROOT=$HIVE_ROOT hive status"

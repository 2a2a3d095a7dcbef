#!/bin/bash
# Formats the folder the first time, with all accounts, then starts the broker. The output of the formatting shows stored keys.
set -euo pipefail
settings=/etc/kafka/state/server.properties
if [ ! -e /var/lib/kafka/data/meta.properties ]; then
  mapfile -t accounts < /etc/kafka/state/accounts
  /opt/kafka/bin/kafka-storage.sh format --cluster-id "$(cat /etc/kafka/state/cluster-id)" --config "$settings" "${accounts[@]}" > /dev/null
fi
exec /opt/kafka/bin/kafka-server-start.sh "$settings"

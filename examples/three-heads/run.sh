#!/bin/sh
# Three web heads of one installation behind HAProxy, with two pools (docs/heads.md). Runs until it is
# interrupted; a head that ends is started again.
#
# Without any setting everything is kept in SQLite files below $ZAQAR_FOLDER:
#   ZAQAR_SERVER       the server program                  (zaqar-server)
#   ZAQAR_FOLDER       data, logs, process ids             (three-heads, in the current folder)
#   ZAQAR_PORTS        the balancer's port, the heads' three, and those of their operators' listeners
#                                                          (8888 8881 8882 8883 9881 9882 9883)
#   ZAQAR_CONTROL_URI  queues, pools, the catalogue; also the home store
#   ZAQAR_EAST_URI     the data store of pool east
#   ZAQAR_WEST_URI     the data store of pool west
set -eu

here=$(cd "$(dirname "$0")" && pwd)
server=${ZAQAR_SERVER:-zaqar-server}
folder=${ZAQAR_FOLDER:-three-heads}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
control=${ZAQAR_CONTROL_URI:-sqlite:$folder/control.db}
east=${ZAQAR_EAST_URI:-sqlite:$folder/east.db}
west=${ZAQAR_WEST_URI:-sqlite:$folder/west.db}
# shellcheck disable=SC2086 # seven words
set -- ${ZAQAR_PORTS:-8888 8881 8882 8883 9881 9882 9883}
export ZAQAR_PORT="$1" HEAD1="$2" HEAD2="$3" HEAD3="$4" ADMIN1="$5" ADMIN2="$6" ADMIN3="$7"
rm -f "$folder/stopping"

# The URIs may hold passwords, so they go by the environment and not by the command line.
export ZAQAR__DRIVERS__MESSAGE_STORE__URI="$control"

head() { # number, port, port of the operators' listener
    while [ ! -e "$folder/stopping" ]; do
        "$server" --config "$here/zaqar.toml" --port "$2" --admin-port "$3" >>"$folder/head$1.log" 2>&1 &
        echo $! >"$folder/head$1.pid"
        wait $! || true
        # Not in a tight circle if it cannot start.
        sleep 0.2
    done
}

stop() {
    trap - INT TERM EXIT
    touch "$folder/stopping"
    # A head finishes what it accepted.
    for pid in "$folder"/*.pid; do kill "$(cat "$pid")" 2>/dev/null || true; done
    wait
    exit 0
}
trap stop INT TERM EXIT

head 1 "$HEAD1" "$ADMIN1" &
head 2 "$HEAD2" "$ADMIN2" &
head 3 "$HEAD3" "$ADMIN3" &
haproxy -f "$here/haproxy.cfg" >>"$folder/haproxy.log" 2>&1 &
echo $! >"$folder/haproxy.pid"

for admin in "$ADMIN1" "$ADMIN2" "$ADMIN3"; do
    until curl -fs -o /dev/null "http://127.0.0.1:$admin/readyz"; do sleep 0.1; done
done

pool() { # name, URI
    curl --fail-with-body -sS -X PUT "http://127.0.0.1:$HEAD1/v2/pools/$1" \
        -H 'X-Project-Id: admin' -H 'X-Roles: admin' -H "Client-ID: $(cat /proc/sys/kernel/random/uuid)" \
        -H 'Content-Type: application/json' \
        -d @- <<BODY
{"uri": "$2", "weight": 100}
BODY
}
pool east "$east"
pool west "$west"

until curl -s -o /dev/null "http://127.0.0.1:$ZAQAR_PORT/"; do
    kill -0 "$(cat "$folder/haproxy.pid")" || { echo "haproxy ended: see $folder/haproxy.log" >&2; exit 1; }
    sleep 0.1
done
echo "serving on http://127.0.0.1:$ZAQAR_PORT"
wait

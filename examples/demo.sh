#!/usr/bin/env bash
# Builds Leasehold, starts a server and three workers, kills the one that leads, and shows the next
# one. Everything it starts ends with it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

echo "building (the first time takes a few minutes)..."
cargo build --quiet --package leasehold-server --package leasehold-cli
bin=${CARGO_TARGET_DIR:-target}/debug
data=$(mktemp -d)
pids=()
finish() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$data"
}
trap finish EXIT

"$bin/leasehold-server" --listen 127.0.0.1:0 --http-listen 127.0.0.1:0 --data-dir "$data" --log-level error >"$data/server" &
pids+=($!)
until grep -q listening "$data/server"; do kill -0 "${pids[0]}" && sleep 0.1; done
LEASEHOLD_ENDPOINT=http://$(sed -n 's/.* listening on \([^ ]*\) .*/\1/p' "$data/server")
export LEASEHOLD_ENDPOINT
echo "server: $LEASEHOLD_ENDPOINT"

# The work: say so once a second, with the token that a real worker would hand to the resource it
# writes to.
work='while :; do echo "    $LEASEHOLD_CANDIDATE works with fencing token $LEASEHOLD_FENCING_TOKEN"; sleep 1; done'
declare -A worker
for name in worker-1 worker-2 worker-3; do
    "$bin/leasehold" run demo/report --name $name --ttl 3s --quiet -- sh -c "$work" &
    worker[$name]=$!
    pids+=($!)
    disown $! # so that the shell doesn't report how it ends
    sleep 0.3
done

leader() {
    "$bin/leasehold" get demo/report --output json | sed -n 's/.*"candidate":"\([^"]*\)".*/\1/p'
}
show() {
    "$bin/leasehold" list
}

sleep 3
first=$(leader)
show
echo "killing $first (kill -9): its work ends with it, and its lease runs out"
kill -9 "${worker[$first]}"
until next=$(leader) && [[ -n $next && $next != "$first" ]]; do sleep 0.1; done
sleep 2
show
echo "$next leads now, with a higher token; it resigns (SIGTERM), and the next one leads at once"
kill "${worker[$next]}"
sleep 2
show
echo "done"

#!/bin/sh
# Writes standard input with the fencing token of `leasehold run`: write.sh KEY.
set -eu
content=$(cat)
exec redis-cli -e -u "${REDIS_URL:-redis://127.0.0.1:6379}" --eval "${0%.sh}.lua" "$1" , "$LEASEHOLD_FENCING_TOKEN" "$content"

#!/bin/sh
# Writes standard input with the task token of `leasehold run`: write.sh URL.
set -eu
content=$(cat)
# Read at the last moment: it is replaced as the leadership is kept alive.
token=$(cat "$LEASEHOLD_TASK_TOKEN_FILE")
exec curl -sS --fail-with-body -X PUT -H "Authorization: Bearer $token" --data-binary "$content" "$1"

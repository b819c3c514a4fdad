#!/bin/sh
# Writes standard input with the fencing token of `leasehold run`: write.sh SQL_FILE.
set -eu
content=$(cat)
exec psql -Xq -v ON_ERROR_STOP=1 -v fence="$LEASEHOLD_FENCING_TOKEN" -v content="$content" -f "$1"

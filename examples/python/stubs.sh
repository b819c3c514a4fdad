#!/usr/bin/env bash
# Generates the Python package `leasehold` from proto/. stubs.sh [FOLDER]; without FOLDER: beside
# this script.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=${1:-$here}
"${PYTHON:-python3}" -m grpc_tools.protoc -I "$here/../../proto" \
    --python_out="$out" --grpc_python_out="$out" leasehold/v1/{election,observe,admin}.proto

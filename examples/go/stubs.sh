#!/usr/bin/env bash
# Generates the Go package leasehold/v1 from proto/, beside this script. It needs go, and protoc or
# the grpcio-tools of a Python; PYTHON, if set, names one that has them, and goes before protoc.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
# The plugins, in the versions that go.mod names.
GOBIN=$PWD/.bin go install tool
protoc=(protoc)
if [[ -n ${PYTHON:-} ]] || ! command -v protoc >/dev/null; then
    protoc=("${PYTHON:-python3}" -m grpc_tools.protoc)
fi
PATH=$PWD/.bin:$PATH "${protoc[@]}" -I ../../proto --go_out=. --go-grpc_out=. \
    --go_opt=paths=source_relative --go-grpc_opt=paths=source_relative leasehold/v1/{election,observe}.proto

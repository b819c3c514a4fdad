# What the tests need beside Rust, Go, Python, Node and npm: installed once into a cache outside the
# tree. Sourced by tests/run.

buf_version=1.75.0
grpcurl_version=v1.9.4
cache=${XDG_CACHE_HOME:-$HOME/.cache}/leasehold

# need COMMAND HINT: fails unless the command is there.
need() {
    command -v "$1" >/dev/null || die "$1 isn't installed: $2"
}

# at_least NAME FOUND WANTED: fails if a version is too old.
at_least() {
    local lowest
    [[ -n $2 ]] || die "$1 is there and doesn't say its version: does it run?"
    lowest=$(printf '%s\n%s\n' "$2" "$3" | sort -V | head -n 1)
    [[ $lowest == "$3" ]] || die "$1 $2 is too old: the tests need $1 $3 or newer"
}

# debian PACKAGE...: installs what is missing.
debian() {
    local package missing=()
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
    done
    ((${#missing[@]})) || return 0
    [[ $(id -u) == 0 ]] || die "Debian packages are missing: run 'sudo apt-get install ${missing[*]}' first"
    setup "Debian packages: ${missing[*]}" apt_install "${missing[@]}"
}

apt_install() {
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -q && apt-get install -q -y --no-install-recommends "$@"
}

# once FOLDER NAME COMMAND...: runs the command, which fills FOLDER, unless it has done so before.
# Two runs at a time wait for each other; one that was interrupted begins again.
once() {
    local folder=$1 name=$2
    shift 2
    mkdir -p "$cache"
    exec {lock}>"$cache/lock"
    flock "$lock"
    if [[ ! -e $folder/complete ]]; then
        rm -rf "$folder"
        mkdir -p "$folder"
        setup "$name" "$@" "$folder"
        touch "$folder/complete"
    fi
    exec {lock}>&-
}

need_rust() {
    need cargo "get Rust from https://rustup.rs"
    need rustfmt "run 'rustup component add rustfmt'"
    need cargo-clippy "run 'rustup component add clippy'"
    # Some crates build a little C.
    command -v cc >/dev/null || debian gcc libc6-dev
}

need_node() {
    need node "get Node 20 from https://nodejs.org"
    need npm "get Node 20 with npm from https://nodejs.org"
    at_least Node "$(node --version | tr -d v)" 20
}

# libFuzzer is C++. The first build takes some minutes; cargo keeps it beside its others.
need_fuzzers() {
    command -v c++ >/dev/null || debian g++
    setup "simulation: build the fuzzers" tests/fuzz/run
}

need_buf() {
    need_node
    once "$cache/buf-$buf_version" "buf $buf_version" install_buf
    buf=$cache/buf-$buf_version/node_modules/.bin/buf
}

install_buf() {
    npm install --prefix "$1" --no-audit --no-fund --no-save --loglevel=error "@bufbuild/buf@$buf_version"
}

need_go() {
    need go "get Go 1.26 from https://go.dev/dl"
    at_least Go "$(go env GOVERSION | sed 's/^go//')" 1.26
}

need_grpcurl() {
    need_go
    once "$cache/grpcurl-$grpcurl_version" "grpcurl $grpcurl_version" install_grpcurl
    export LEASEHOLD_GRPCURL=$cache/grpcurl-$grpcurl_version/grpcurl
}

install_grpcurl() {
    GOBIN=$1 GOFLAGS= go install "github.com/fullstorydev/grpcurl/cmd/grpcurl@$grpcurl_version"
}

need_python() {
    local wanted
    need python3 "install Python 3.11 or newer"
    at_least Python "$(python3 -c 'import platform; print(platform.python_version())')" 3.11
    python3 -c 'import venv, ensurepip' 2>/dev/null || debian python3-venv
    wanted=$(python3 -VV | cat - tests/python/requirements.txt examples/{python,fencing/*,fencing/*/*}/requirements.txt | sha256sum | cut -c 1-12)
    once "$cache/python-$wanted" "Python packages" install_python
    export LEASEHOLD_PYTHON=$cache/python-$wanted/bin/python
    # Made anew in each run: a stub that is older than the proto would test something else.
    export LEASEHOLD_PYTHON_STUBS=$work/stubs
    mkdir "$LEASEHOLD_PYTHON_STUBS"
    setup "Python stubs" env PYTHON="$LEASEHOLD_PYTHON" examples/python/stubs.sh "$LEASEHOLD_PYTHON_STUBS"
}

install_python() {
    python3 -m venv "$1" && "$1/bin/pip" install --disable-pip-version-check -q -r tests/python/requirements.txt
}

# After need_python: its packages have the protoc that makes the stubs.
need_go_worker() {
    local wanted
    need_go
    wanted=$(go version | cat - proto/leasehold/v1/*.proto examples/go/{*.go,go.mod,go.sum,stubs.sh} | sha256sum)
    wanted=${wanted:0:12}
    once "$cache/go-worker-$wanted" "Go worker" build_go_worker
    export LEASEHOLD_GO_WORKER=$cache/go-worker-$wanted/worker
}

# Builds in a copy, so that it leaves no stubs in the tree and finds no old ones there.
build_go_worker() {
    local copy=$work/go/examples/go
    mkdir -p "$copy" && cp -r proto "$work/go" && cp examples/go/{*.go,go.mod,go.sum,stubs.sh} "$copy" &&
        GOFLAGS= PYTHON=$LEASEHOLD_PYTHON "$copy/stubs.sh" && GOFLAGS= go build -C "$copy" -o "$1/worker" .
}

need_client_go() {
    need_go
    setup "client-go" tests/replicas/client-go/build
    LEASEHOLD_CLIENT_GO=$(tests/replicas/client-go/build)
    export LEASEHOLD_CLIENT_GO
}

need_node_worker() {
    local wanted folder=$work/node/examples/node
    need_node
    wanted=$(node --version | cat - examples/node/{package.json,package-lock.json} | sha256sum | cut -c 1-12)
    once "$cache/node-worker-$wanted" "Node packages" install_node_worker
    # A module finds only packages that lie in a folder above it, so a copy of the worker stands
    # beside them; and the worker reads ../../proto.
    mkdir -p "$folder"
    cp examples/node/{worker.js,election.js,package.json} "$folder"
    ln -s "$cache/node-worker-$wanted/node_modules" "$folder"
    ln -s "$PWD/proto" "$work/node"
    export LEASEHOLD_NODE_WORKER=$folder/worker.js
}

install_node_worker() {
    cp examples/node/{package.json,package-lock.json} "$1" && npm ci --prefix "$1" --no-audit --no-fund --loglevel=error
}

# After need_python. The resources that the recipes of docs/fencing.md write to, and a copy of the
# recipes in which the services are built.
need_fencing() {
    local wanted
    need_go
    need_node
    need curl "install curl"
    command -v mvn >/dev/null || debian maven
    command -v javac >/dev/null || debian default-jdk-headless
    at_least Java "$(javac -version 2>&1 | sed 's/^javac //')" 17
    command -v redis-server >/dev/null || debian redis-server
    command -v sqlite3 >/dev/null || debian sqlite3
    LEASEHOLD_POSTGRES=$(postgres_programs)
    [[ -n $LEASEHOLD_POSTGRES ]] || debian postgresql
    LEASEHOLD_POSTGRES=$(postgres_programs)
    [[ -n $LEASEHOLD_POSTGRES ]] || die "PostgreSQL's initdb isn't there: install PostgreSQL 12 or newer"
    need psql "install PostgreSQL's client"
    wanted=$({ go version && node --version && javac -version && fencing_builds && fencing | xargs cat; } | sha256sum)
    once "$cache/fencing-${wanted:0:12}" "fenced services" build_fencing
    export LEASEHOLD_POSTGRES LEASEHOLD_FENCING=$cache/fencing-${wanted:0:12}
}

# The folder of initdb, which Debian keeps out of PATH.
postgres_programs() {
    local found
    found=$(command -v initdb || find /usr/lib/postgresql -path '*/bin/initdb' 2>/dev/null | sort -V | tail -n 1)
    [[ -z $found ]] || dirname "$(readlink -f "$found")"
}

# The files of the recipes, without what somebody has built among them.
fencing() {
    find examples/fencing \( -name node_modules -o -name target -o -name service \) -prune -o -type f -print | LC_ALL=C sort
}

# The page's own commands: the first one of each language.
fencing_builds() {
    awk '/^### / { first = 1 } /^```$/ { inside = 0 } inside; /^```sh$/ && first { inside = 1; first = 0 }' docs/fencing.md
}

build_fencing() {
    local commands
    commands=$(fencing_builds)
    fencing | tar -c -T - | tar -x -C "$1" &&
        (cd "$1" && PATH=$(dirname "$LEASEHOLD_PYTHON"):$PATH GOFLAGS= bash -euxc "$commands")
}

# What a cluster is made of beside Go modules. One that runs elsewhere on this machine isn't
# touched.
need_cluster() {
    need_go
    [[ $(id -u) == 0 ]] || die "the part 'cluster' makes namespaces and cgroups: run it as root"
    debian binutils conntrack containerd containernetworking-plugins iproute2 iptables prometheus python3 python3-venv runc
}

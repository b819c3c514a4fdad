# How scripts drive a cluster: start it, ask until something is so, show how long it took, end it.
# Sourced by scripts that have set `tools` (by tests/cluster/build) and `work`, a folder for what is
# in the way otherwise.

cluster_pid=
passed=0
step="the first step"

# check NAME COMMAND...: one step; the end of everything if it fails.
check() {
    local start=$EPOCHREALTIME
    step=$1
    "${@:2}"
    passed=$((passed + 1))
    awk -v what="$1" -v from="$start" -v to="$EPOCHREALTIME" 'BEGIN { printf "%-58s ok  %.1f s\n", what, to - from }'
}

# within SECONDS COMMAND...: asks until it is so.
within() {
    local end=$((SECONDS + $1))
    shift
    until "$@" >"$work/last" 2>&1; do
        if ((SECONDS > end)); then
            echo "not within the time: $*"
            cat "$work/last"
            return 1
        fi
        sleep 0.2
    done
}

# start NAME [FLAG...]: a cluster in the folder of this name; sets dir.
start() {
    dir=$work/$1
    mkfifo "$dir.in"
    "$tools/cluster" up --dir "$dir" "${@:2}" <"$dir.in" >"$dir.out" 2>"$dir.log" &
    cluster_pid=$!
    exec {stdin}>"$dir.in"
    within 120 started
    [[ -s $dir.out ]]
}

# Ended counts as well: there is no need to wait for it.
started() {
    [[ -s $dir.out ]] || ! kill -0 "$cluster_pid"
}

kubectl() {
    "$dir/kubectl" --request-timeout=60s "$@"
}

end_cluster() {
    [[ -n $cluster_pid ]] || return 0
    exec {stdin}>&-
    wait "$cluster_pid"
    cluster_pid=
}

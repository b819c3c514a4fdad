# Completions of the command leasehold for bash. It asks the command, which asks the service for its
# elections.
_leasehold() {
    local IFS=$'\013' words=() at=0 i cut
    # Bash cuts words at colons and equals signs: addresses and --option=value are put together
    # again.
    for ((i = 0; i <= COMP_CWORD; i++)); do
        if ((i > 0)) && [[ ${COMP_WORDS[i]} == [:=]* || ${words[at]} == *[:=] ]]; then
            words[at]+=${COMP_WORDS[i]}
        else
            ((i == 0)) || ((at += 1))
            words[at]=${COMP_WORDS[i]}
        fi
    done
    COMPREPLY=($(_CLAP_IFS="$IFS" _CLAP_COMPLETE_INDEX="$at" LEASEHOLD_COMPLETE=bash "$1" -- "${words[@]}" 2>/dev/null))
    # Bash replaces only the last piece of what it has cut.
    [[ ${words[at]} == *[:=]* ]] || return 0
    cut=${words[at]%"${words[at]##*[:=]}"}
    COMPREPLY=("${COMPREPLY[@]#"$cut"}")
}
complete -o bashdefault -F _leasehold leasehold

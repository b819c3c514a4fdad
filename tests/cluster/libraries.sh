# What images need of the machine that they are made on. Sourced by the scripts that make them.

# libraries FILE...: the shared libraries that the programs and libraries need, the loader included,
# each as an item for `image`.
libraries() {
    local file
    for file in "$@"; do
        ldd "$file"
    done | awk '$2 == "=>" && $3 ~ /^\// { print $3 ":" $3 } $1 ~ /^\/lib.*\/ld-linux/ { print $1 ":" $1 }' | LC_ALL=C sort -u
}

#!/usr/bin/env bash
#
# pawl machine: every machine of the list compiles and can be drawn, and wrong usage is told apart.
#
# Needs $PAWL (the command). Uses graphviz's dot where there is one.
set -euo pipefail

: "${PAWL:?is not set: the pawl command}"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

fail() {
    printf 'machine.sh: %s\n' "$*" >&2
    exit 1
}

# expect_exit CODE ARGUMENT... - what the command prints is then in out and err.
expect_exit() {
    local wanted=$1 code=0
    shift
    "$PAWL" machine "$@" >out 2>err || code=$?
    [ "$code" -eq "$wanted" ] || fail "machine $* exits $code, not $wanted: $(cat err)"
}

expect_in() {
    grep -q -e "$2" "$1" || fail "'$2' is not in $1: $(cat "$1")"
}

# ---- every machine ----

expect_exit 0 list
mapfile -t names < <(awk '{print $1}' out)
[ "${#names[@]}" -ge 5 ] || fail "only ${#names[@]} machines are listed"
for name in "${names[@]}"; do
    expect_exit 0 check "$name"
    expect_in out "^$name: sound, errors 0, warnings [0-9]*\$"
    expect_in out '^  states  *[1-9][0-9]*$'
    expect_in out '^  events  *[1-9][0-9]*$'
    expect_in out '^  transitions  *[1-9][0-9]*$'
    expect_in out '^  context  *[0-9]* bytes$'
    expect_in out '^  hash  *[0-9a-f]\{16\}$'
    [ ! -s err ] || fail "check $name complains: $(cat err)"
    hash=$(sed -n 's/^  hash *//p' out)
    expect_exit 0 check "$name"
    [ "$hash" = "$(sed -n 's/^  hash *//p' out)" ] || fail "the hash of $name is not stable"
    expect_exit 0 dot "$name"
    [ "$(head -n 1 out)" = "digraph \"$name\" {" ] || fail "dot $name begins with: $(head -n 1 out)"
    [ "$(tail -n 1 out)" = "}" ] || fail "dot $name ends with: $(tail -n 1 out)"
    if command -v dot >/dev/null; then
        dot -Tcanon out >drawn 2>dot_err || fail "graphviz cannot read $name: $(cat dot_err)"
        [ ! -s dot_err ] || fail "graphviz complains of $name: $(cat dot_err)"
    fi
    expect_exit 0 mermaid "$name"
    expect_in out '^stateDiagram-v2$'
    expect_in out '^    \[\*\] --> s[0-9]*$'
done

# ---- what a drawing shows ----

expect_exit 0 dot door
expect_in out 'label="H", shape=circle'
expect_in out 'after 30 s / ajar'
expect_in out 'label="lock \[guard\]"'
expect_exit 0 dot call
expect_in out 'label="over", shape=doublecircle'
expect_in out 'message / defer'
expect_exit 0 mermaid call
expect_in out 's4 --> \[\*\]'
expect_exit 0 check turnstile
expect_in out "^warning: machine 'turnstile', state 0 (locked): a task may wait here for ever"

# ---- wrong usage ----

expect_exit 2
expect_exit 2 check
expect_exit 2 check door extra
expect_exit 2 list door
expect_exit 2 paint door
expect_exit 2 check --colour door
expect_exit 2 check nosuch
expect_in err "no machine 'nosuch'"
expect_in err '^  turnstile '
expect_exit 0 --help
expect_in out '^usage: pawl machine check NAME'
expect_exit 0 --version
expect_in out 'pawl machine (Pawl) [0-9]'

printf 'machine.sh: %d machines checked and drawn\n' "${#names[@]}"

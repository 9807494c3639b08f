#!/usr/bin/env bash
# cli.sh - what all commands have in common: help, version, exit codes, and where they speak. $PAWL is
# the command.
set -u

: "${PAWL:?set PAWL to the pawl command}"
"$PAWL" --version >/dev/null || exit 1
export LC_ALL=C.UTF-8
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
failures=0
commands='topo stress replay machine verify history export import salvage inspect sim'

fail() {
    printf 'FAIL: %s\n' "$*" >&2
    sed 's/^/  | /' "$scratch/out" "$scratch/err" >&2
    failures=$((failures + 1))
}

# run STATUS ARGUMENT...: 0 speaks on standard output alone, all else on standard error alone.
run() {
    local wanted=$1
    shift
    "$PAWL" "$@" >"$scratch/out" 2>"$scratch/err"
    local status=$?
    [ "$status" -eq "$wanted" ] || fail "pawl $*: exit status $status, not $wanted"
    if [ "$wanted" -eq 0 ]; then
        [ -s "$scratch/out" ] || fail "pawl $*: succeeds and says nothing"
        [ ! -s "$scratch/err" ] || fail "pawl $*: succeeds and complains"
    else
        [ -s "$scratch/err" ] || fail "pawl $*: fails without a word"
        [ ! -s "$scratch/out" ] || fail "pawl $*: fails and prints something"
    fi
}

has() {
    grep -qE -- "$2" "$scratch/$1" || fail "no \"$2\" on $1"
}

version=$("$PAWL" --version | sed -n 's/^pawl (Pawl) \([0-9.]*\)$/\1/p')
[ -n "$version" ] || fail "pawl --version does not say its version"

for word in --help -h help; do
    run 0 "$word"
    for command in $commands; do
        has out "^  $command +[a-z]"
    done
done
run 0 -V
has out "^pawl \(Pawl\) $version\$"

# Without a command, or with one that is not there: the list, and 2.
run 2
has err '^usage: pawl '
run 2 stres
has err "there is no command 'stres'"
for command in $commands; do
    has err "^  $command +[a-z]"
done
run 2 ''
run 2 --no-such-option

for command in $commands; do
    run 0 "$command" --help
    has out "^[Uu]sage: pawl $command"
    has out '--version'
    run 0 "$command" --version
    has out "^pawl $command .*$version"
    usage=2
    [ "$command" != verify ] || usage=3 # its 1 and 2 speak of the store
    run $usage "$command" --no-such-option
    has err "^pawl $command: "
    has err "pawl $command --help"
done

# What cannot be written has not been done.
if [ -w /dev/full ]; then
    "$PAWL" --help >/dev/full 2>"$scratch/err"
    [ $? -eq 1 ] || fail "a full disk looks like success"
    has err 'cannot write'
fi

[ "$failures" -eq 0 ] || printf '%s failures\n' "$failures" >&2
[ "$failures" -eq 0 ]

#!/usr/bin/env bash
# lib.bash - what the tests of the command have in common. Each begins with
#
#     . "${BASH_SOURCE[0]%/*}/lib.bash" [stop]
#
# and is then in a folder of its own, which is removed at the end, as is a child that still runs. $PAWL is
# the command, $PAWL_SUPPORT the folder of the programs of support/. With "stop" the first failure ends the
# test: for those in which each step stands on the one before. Without, failures are counted, and `finish`
# ends the test.
#
# Not a test itself, hence the ending.
set -u

: "${PAWL:?is not set: the pawl command}"
PAWL=$(realpath -- "$PAWL")
[ -z "${PAWL_SUPPORT:-}" ] || PAWL_SUPPORT=$(realpath -- "$PAWL_SUPPORT")
"$PAWL" --version >/dev/null || exit 1
export LC_ALL=C.UTF-8
script=${0##*/}
stop=${1:-}
[ -z "$stop" ] || set -eo pipefail
scratch=$(mktemp -d) || exit 1
child=
trap '[ -z "$child" ] || kill -KILL "$child" 2>/dev/null; rm -rf "$scratch"' EXIT
cd "$scratch" || exit 1
: >out
: >err
failures=0
last=          # what was run last
verb=          # what run and killed give to pawl in front of their arguments
patterns=-E    # how says and complains read theirs, as grep has it
holds=         # what the test has found right, for the last line
seed=${SEED:-} # of a test that draws lots; it says so when it fails

fail() {
    printf 'FAIL: %s%s%s: %s\n' "$script" "${seed:+, seed $seed}" "${last:+: pawl $last}" "$*" >&2
    sed 's/^/  | /' out err >&2
    failures=$((failures + 1))
    [ -z "$stop" ] || exit 1
}

finish() {
    [ "$failures" -eq 0 ] || {
        printf '%s: %s failures\n' "$script" "$failures" >&2
        exit 1
    }
    printf '%s: %s\n' "$script" "${holds:-all good}"
    exit 0
}

# run CODE ARGUMENT...: pawl must end with this exit code; what it prints is then in out and err.
run() {
    local wanted=$1 code=0
    shift
    last="${verb:+$verb }$*"
    "$PAWL" ${verb:+"$verb"} "$@" >out 2>err </dev/null || code=$?
    [ "$code" -eq "$wanted" ] || fail "exit status $code, not $wanted"
}

# killed SECONDS ARGUMENT...: pawl must still run after so long, and is then killed. With waits_for set,
# the time begins when that file has something in it.
waits_for=
killed() {
    local seconds=$1
    shift
    last="${verb:+$verb }$*"
    "$PAWL" ${verb:+"$verb"} "$@" >out 2>err </dev/null &
    child=$!
    until [ -z "$waits_for" ] || [ -s "$waits_for" ] || ! kill -0 "$child" 2>/dev/null; do
        sleep 0.01
    done
    sleep "$seconds"
    # One that ended by itself said why.
    kill -0 "$child" 2>/dev/null || fail "it ended before it was killed"
    kill -KILL "$child" 2>/dev/null || true
    wait "$child" 2>/dev/null || true
    child=
}

# says PATTERN, complains PATTERN: what was run last printed it.
says() {
    grep -q "$patterns" -e "$1" out || fail "no \"$1\" on standard output"
}

complains() {
    grep -q "$patterns" -e "$1" err || fail "no \"$1\" on standard error"
}

# expect_in FILE PATTERN, the pattern as plain grep reads it.
expect_in() {
    grep -q -e "$2" "$1" || fail "'$2' is not in $1: $(cat "$1")"
}

expect_not_in() {
    ! grep -q -e "$2" "$1" || fail "'$2' is in $1: $(cat "$1")"
}

# is_json: what was printed last, as far as somebody is here who knows.
is_json() {
    ! command -v python3 >/dev/null || python3 -m json.tool <out >/dev/null || fail "no JSON: $(cat out)"
}

# tasks: the ids that pawl inspect has listed, in its order.
tasks() {
    sed -n 's/^\([0-9a-f]\{16\}\)  .*/\1/p' out
}

# expect_same LOG ARGUMENT...: the schedule of pawl replay must be the one in the file `wanted`.
expect_same() {
    run 0 "$@" --schedule got
    diff -q wanted got >/dev/null || fail "replay $*: another schedule: $(diff wanted got | head -5)"
}

# value KEY: of the JSON that was printed last, one key a line.
value() {
    sed -n "s/^ *\"$1\": *\(.*[^,]\),\{0,1\}\$/\1/p" out
}

is() {
    [ "$(value "$1")" = "$2" ] || fail "\"$1\" is '$(value "$1")', not '$2'"
}

# some KEY: a number above 0.
some() {
    case $(value "$1") in
    '' | 0 | *[!0-9.]*) fail "\"$1\" is '$(value "$1")', not a number above 0" ;;
    esac
}

# clean: what pawl stress counts as wrong is nowhere.
kinds=(lost duplicated misordered contradicted torn unexplained)
clean() {
    local kind
    for kind in "${kinds[@]}"; do
        is "$kind" 0
    done
    is kept true
}

# wrong ARGUMENT...: a command line that is refused in words, and nothing is done.
wrong() {
    run 2 "$@"
    [ -s err ] || fail "wrong, and not a word"
    [ ! -s out ] || fail "wrong, and it prints something"
}

#!/usr/bin/env bash
#
# pawl sim: sound runs with and without a store, the same seed twice, the options, and exit codes. That it
# notices what is broken is planted.all's part.
#
# Needs $PAWL, the command.
set -euo pipefail

: "${PAWL:?is not set: the pawl command}"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

fail() {
    printf 'sim.sh: %s\n' "$*" >&2
    exit 1
}

# expect_exit CODE ARGUMENT... - what the command prints is then in out and err.
expect_exit() {
    local wanted=$1 code=0
    shift
    "$PAWL" sim "$@" >out 2>err || code=$?
    [ "$code" -eq "$wanted" ] || fail "sim $* exits $code, not $wanted: $(tail -20 out) $(cat err)"
}

expect_in() {
    grep -q -e "$2" "$1" || fail "'$2' is not in $1: $(cat "$1")"
}

expect_exit 0 --help
expect_in out 'usage: pawl sim'
expect_exit 2 --seeds
expect_exit 2 --seeds 5..2
expect_exit 2 --seeds x
expect_exit 2 --steps 0
expect_exit 2 --shards 99
expect_exit 2 --faults moth
expect_in err "no 'moth'"
expect_exit 2 something
expect_in err "what is 'something'"

# Each kind of fault by itself, then all of them.
expect_exit 0 --memory --seeds 1..10 --steps 800
expect_in out '^seeds 1..10: 10 runs, .* 0 failed$'
for faults in none kill power kill,power,slow kill,power,recovery kill,power,damage; do
    expect_exit 0 --seeds 1..6 --steps 500 --faults "$faults"
    expect_in out ' 0 failed$'
done
expect_exit 0 --seeds 1..15 --steps 800
expect_exit 0 --seeds 3..4 --steps 500 --shards 1
expect_exit 0 --seeds 3..4 --steps 500 --shards 6

# What agents do is seen to be done.
expect_exit 0 --seeds 1..12 --steps 800 --faults kill,power
expect_in out ' [1-9][0-9]* tasks of agents, [1-9][0-9]* leases, [1-9][0-9]* reports, [1-9][0-9]* retries,'

# A seed is one run, whoever runs it and when.
expect_exit 0 --seeds 20..24 --steps 400 --verbose
grep digest out >first
expect_exit 0 --seeds 20..24 --steps 400 --verbose --twice
grep digest out >second
diff first second || fail "two runs of the same seeds differ"
expect_exit 0 --seeds 21 --steps 400 --verbose
expect_in first "$(grep -o 'digest .*' out)"

# Time ends the run between seeds.
expect_exit 0 --seeds 1..1000000 --steps 50 --memory --seconds 1
grep -q '1000000 runs' out && fail "a million seeds in a second"

expect_exit 0 --seeds 21 --steps 100 --log
expect_in out 'shard 0 comes back at LSN 0'

#!/usr/bin/env bash
#
# pawl sim: sound runs with and without a store, the same seed twice, the options, and exit codes. That it
# notices what is broken is planted.all's part.
#
# Needs $PAWL, the command.
# shellcheck source-path=SCRIPTDIR source=lib.bash
. "${BASH_SOURCE[0]%/*}/lib.bash" stop
verb=sim

run 0 --help
expect_in out 'usage: pawl sim'
run 2 --seeds
run 2 --seeds 5..2
run 2 --seeds x
run 2 --steps 0
run 2 --shards 99
run 2 --faults moth
expect_in err "no 'moth'"
run 2 something
expect_in err "what is 'something'"

# Each kind of fault by itself, then all of them.
run 0 --memory --seeds 1..10 --steps 800
expect_in out '^seeds 1..10: 10 runs, .* 0 failed$'
for faults in none kill power kill,power,slow kill,power,recovery kill,power,damage; do
    run 0 --seeds 1..6 --steps 500 --faults "$faults"
    expect_in out ' 0 failed$'
done
run 0 --seeds 1..15 --steps 800
run 0 --seeds 3..4 --steps 500 --shards 1
run 0 --seeds 3..4 --steps 500 --shards 6

# What agents do is seen to be done.
run 0 --seeds 1..12 --steps 800 --faults kill,power
expect_in out ' [1-9][0-9]* tasks of agents, [1-9][0-9]* leases, [1-9][0-9]* reports, [1-9][0-9]* retries,'

# A seed is one run, whoever runs it and when.
run 0 --seeds 20..24 --steps 400 --verbose
grep digest out >first
run 0 --seeds 20..24 --steps 400 --verbose --twice
grep digest out >second
diff first second || fail "two runs of the same seeds differ"
run 0 --seeds 21 --steps 400 --verbose
expect_in first "$(grep -o 'digest .*' out)"

# Time ends the run between seeds.
run 0 --seeds 1..1000000 --steps 50 --memory --seconds 1
grep -q '1000000 runs' out && fail "a million seeds in a second"

run 0 --seeds 21 --steps 100 --log
expect_in out 'shard 0 comes back at LSN 0'

holds='sound runs, and a seed is one run'
finish

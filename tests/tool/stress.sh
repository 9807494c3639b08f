#!/usr/bin/env bash
# stress.sh - short runs of `pawl stress`: what it checks holds, its figures add up, a host-driven run
# repeats, and faults planted in the tool's own senders and tasks are found and named. $PAWL is the
# command.
# shellcheck source-path=SCRIPTDIR source=lib.bash
. "${BASH_SOURCE[0]%/*}/lib.bash"
verb=stress

# One shard and two, by threads: clean, and the figures are those asked for.
for shards in 1 2; do
    run 0 --tasks 300 --events 20k --shards "$shards" --producers 3 --seed 11 --json
    clean
    is tasks 300
    is posted 20000
    is shards "$shards"
    is producers 3
    is seed 11
    is drive '"threads"'
    is digest null
    some events
    some transitions
    some seconds
    some transitions_per_s
    some rss_bytes_per_task
    some created
    some deferred
    some refused
    some aborted
    some stale
    some timers_fired
    some reads
done
some sent

# Nothing may depend on room: small rings, few events in flight, more threads than cores.
run 0 --tasks 100 --events 15k --shards 3 --producers 8 --portless 4 --readers 2 \
    --port-capacity 64 --inflight 32 --no-pin --json
clean

# The extremes: one task; more producers than tasks; nobody has a port; everybody has one.
run 0 --tasks 1 --events 2k --shards 1 --producers 1 --readers 0 --json
clean
is posted 2000
run 0 --tasks 3 --events 3k --shards 2 --producers 9 --json
clean
run 0 --tasks 50 --events 5k --shards 2 --producers 2 --portless 2 --json
clean
is completions 0
is posted 5000
run 0 --tasks 50 --events 5k --shards 2 --producers 2 --portless 0 --json
clean

# By time: a line of progress each second, then the summary.
run 0 --tasks 200 --seconds 1.2 --shards 1
complains '[0-9] events .* tasks'
grep -q '^kept .* lost 0, duplicated 0, misordered 0' out || fail "no verdict"
grep -q '^seed  *[0-9]' out || fail "the seed is not printed"

# Driven by the host, the same seed gives the same run, in figures and in the state of all tasks.
repeat() {
    run 0 --drive host --tasks 300 --events 20k --json "$@"
    clean
    is drive '"host"'
    grep -vE '"(seconds|transitions_per_s|rss_bytes_per_task)"' out
}
for shards in 1 2; do
    repeat --shards "$shards" --seed 5 >first
    repeat --shards "$shards" --seed 5 >second
    repeat --shards "$shards" --seed 6 >third
    cmp -s first second || fail "the same seed gives another run"
    cmp -s <(grep digest first) <(grep digest third) &&
        fail "another seed gives the same run"
done
run 0 --drive host --tasks 100 --events 10k --shards 2 --port-capacity 64 --inflight 32 --json
clean
some full

# The checker sees what it is there for: each planted fault ends in exit status 1 and is named with
# its sender, task and sequence.
plant() {
    local fault=$1 message=$2 drive
    for drive in host threads; do
        run 1 --plant "$fault" --drive "$drive" --tasks 200 --events 20k --shards 2 --seed 3 \
            --settle 2
        complains "$message"
        grep -q '^VIOLATED' out || fail "the summary does not say so"
    done
}
plant lose 'lost: producer 0 to resident [0-9]+ \(task 0x[0-9a-f]+\), sequence [0-9]+: never came'
plant double 'duplicated: producer 0 to resident [0-9]+ \(task 0x[0-9a-f]+\), sequence [0-9]+: '
plant reorder 'misordered: producer 0 to resident [0-9]+ \(task 0x[0-9a-f]+\), sequence [0-9]+: '
plant tear 'torn: .* (context|resident) '
plant chain 'lost: resident [0-9]+ to resident [0-9]+ .*, sequence [0-9]+: never came'
plant timer 'lost: 1 tasks still wait for a timer'
plant contradict 'contradicted: producer 0 to resident .* reported as failed, but it was handled'
plant completion 'lost: producer 0 to resident .* the completion that producer 0 asked for never came'

run 1 --plant double --drive host --tasks 200 --events 20k --seed 3 --json
is kept false
is duplicated 1

# Wrong command lines: exit status 2, a message, and nothing is run.
wrong --tasks
wrong --tasks 0
wrong --tasks -1
wrong --tasks 10x
wrong --tasks 1T
wrong --tasks 99999999999999999999
wrong --events ten
wrong --seconds 1s
wrong --seconds nan
wrong --seconds 0 --events 0
wrong --producers 0
wrong --producers 2 --portless 3
wrong --port-capacity 100
wrong --port-capacity 32
wrong --shards 2000
wrong --seed 0
wrong --drive car
wrong --plant roses
wrong --no-such-option
wrong 1000

run 0 --help
grep -q -- '--tasks' out || fail "help says nothing"
grep -q -- '--plant' out && fail "help shows what is for tests only"

finish

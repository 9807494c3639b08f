#!/usr/bin/env bash
# stress_agents.sh - short runs of `pawl stress --agents`: what it checks holds, its figures add up,
# faults planted in the tool's own books are found and named, and a store that is killed at random
# moments is resumed with nothing missing. $PAWL is the command.
# shellcheck source-path=SCRIPTDIR source=lib.bash
. "${BASH_SOURCE[0]%/*}/lib.bash"
verb=stress
kinds+=(double_holders attempts_wrong)

# One shard, and more agents than threads on several.
run 0 --agents 1 --tasks 60 --seconds 1 --shards 1 --seed 21 --json
clean
is agents 1
is shards 1
is seed 21
run 0 --agents 13 --tasks 400 --seconds 3 --shards 3 --producers 3 --no-pin --seed 22 --json
clean
is agents 13
is shards 3
is producers 3
is seed 22
for key in cycles cycles_per_s leases leases_ordered leases_expired leases_lost reports \
    reports_untrue reports_refused evidence completed failed cancelled dead sent events \
    transitions seconds; do
    some "$key"
done
is created "$(value ended)"

# One job at a time; more agents than there are jobs.
run 0 --agents 40 --tasks 1 --seconds 1 --shards 2 --producers 1 --json
clean
is agents 40

# For people: a line of progress each second, then the summary.
run 0 --agents 3 --tasks 100 --seconds 1.2 --shards 2
complains '[0-9] cycles .* jobs settled'
grep -q '^kept .* lost 0, duplicated 0, misordered 0' out || fail "no verdict"
grep -q '^holders  *0 too many; 0 attempts wrong' out || fail "no holders"
grep -q '^seed  *[0-9]' out || fail "the seed is not printed"

# planted WHAT KIND PATTERN: a fault in the tool's own books is found.
planted() {
    run 1 --agents 4 --tasks 100 --seconds 1 --shards 2 --seed 3 --settle 3 --plant "$1" --json
    is kept false
    some "$2"
    complains "$3"
}
planted lose lost 'does not come to its end'
planted double double_holders 'two holders'
planted reorder misordered 'was handed out, task .* was next'
planted tear torn 'is not what was reported'
planted contradict contradicted 'its report was refused'
planted completion attempts_wrong 'nothing says how'

# On a store, whole; then killed at random moments, and resumed with another number of shards each.
run 0 --agents 4 --tasks 100 --seconds 1 --shards 2 --durable whole --json
clean
is durability '"sync"'
is resumed false

# unharmed SECONDS ARGUMENT...: as killed, and nothing was found wrong by then.
unharmed() {
    killed "$@"
    grep -qE 'pawl stress: (lost|duplicated|misordered|contradicted|torn|unexplained)' err &&
        fail "something is wrong"
}
for mode in sync async; do
    store=$mode
    unharmed 1.3 --agents 5 --tasks 200 --seconds 60 --shards 2 --"$mode" --durable "$store"
    for _ in 1 2 3; do
        unharmed "0.$((RANDOM % 8 + 1))" --agents 5 --seconds 60 --shards $((RANDOM % 3 + 1)) \
            --resume "$store"
    done
    run 0 --agents 5 --seconds 1 --shards 2 --resume "$store" --json
    clean
    is durability "\"$mode\""
    is resumed true
    some recovered_tasks
    some taken_over
    # What came to its end leaves nothing to take over.
    run 0 --agents 5 --seconds 1 --resume "$store" --json
    clean
    is taken_over 0
done

# What does not go together says so.
disagrees() { # PATTERN ARGUMENT...
    local pattern=$1
    shift
    wrong "$@"
    complains "$pattern"
}
disagrees "'0'" --agents 0
disagrees 'does not go with --agents' --agents 2 --events 5
disagrees 'does not go with --agents' --agents 2 --drive host
disagrees 'does not go with --agents' --agents 2 --plant chain
disagrees 'more jobs at once' --agents 2 --tasks 1M
disagrees 'before it began' --agents 2 --seconds 0
disagrees 'needs --durable' --agents 2 --async
disagrees 'was decided when' --agents 2 --resume x --tasks 5
disagrees 'exclude each other' --agents 2 --durable x --sync --async
run 1 --agents 2 --resume none
complains 'cannot be opened'

finish

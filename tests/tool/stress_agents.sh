#!/usr/bin/env bash
# stress_agents.sh - short runs of `pawl stress --agents`: what it checks holds, its figures add up,
# faults planted in the tool's own books are found and named, and a store that is killed at random
# moments is resumed with nothing missing. $PAWL is the command.
set -u

: "${PAWL:?set PAWL to the pawl command}"
"$PAWL" --version >/dev/null || exit 1
export LC_ALL=C.UTF-8
scratch=$(mktemp -d) || exit 1
child=
# The child is killed in any case: nothing may outlive the test.
trap '[ -z "$child" ] || kill -KILL "$child" 2>/dev/null; rm -rf "$scratch"' EXIT
failures=0
last=

fail() {
    printf 'FAIL: stress %s: %s\n' "$last" "$*" >&2
    sed 's/^/  | /' "$scratch/out" "$scratch/err" >&2
    failures=$((failures + 1))
}

# run STATUS ARGUMENT...: runs `pawl stress` and checks its exit status.
run() {
    local wanted=$1
    shift
    last=$*
    "$PAWL" stress "$@" >"$scratch/out" 2>"$scratch/err"
    local status=$?
    [ "$status" -eq "$wanted" ] || fail "exit status $status, not $wanted"
}

# value KEY: of the last run's JSON.
value() {
    sed -n "s/^  \"$1\": \(.*[^,]\),\{0,1\}\$/\1/p" "$scratch/out"
}

is() {
    [ "$(value "$1")" = "$2" ] || fail "\"$1\" is '$(value "$1")', not '$2'"
}

some() {
    case $(value "$1") in
    '' | 0 | *[!0-9.]*) fail "\"$1\" is '$(value "$1")', not a number above 0" ;;
    esac
}

complains() {
    grep -qE -- "$1" "$scratch/err" || fail "no \"$1\" on standard error"
}

clean() {
    local kind
    for kind in lost duplicated misordered contradicted torn unexplained double_holders \
        attempts_wrong; do
        is "$kind" 0
    done
    is kept true
}

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
grep -q '^kept .* lost 0, duplicated 0, misordered 0' "$scratch/out" || fail "no verdict"
grep -q '^holders  *0 too many; 0 attempts wrong' "$scratch/out" || fail "no holders"
grep -q '^seed  *[0-9]' "$scratch/out" || fail "the seed is not printed"

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
run 0 --agents 4 --tasks 100 --seconds 1 --shards 2 --durable "$scratch/whole" --json
clean
is durability '"sync"'
is resumed false

# killed SECONDS ARGUMENT...: a run that lives no longer than that, and finds nothing wrong by then.
killed() {
    local seconds=$1
    shift
    last=$*
    "$PAWL" stress "$@" >"$scratch/out" 2>"$scratch/err" &
    child=$!
    sleep "$seconds"
    kill -0 "$child" 2>/dev/null || fail "it ended before it was killed"
    kill -KILL "$child" 2>/dev/null
    wait "$child" 2>/dev/null
    child=
    grep -qE 'pawl stress: (lost|duplicated|misordered|contradicted|torn|unexplained)' \
        "$scratch/err" && fail "something is wrong"
}
for mode in sync async; do
    store=$scratch/$mode
    killed 1.3 --agents 5 --tasks 200 --seconds 60 --shards 2 --"$mode" --durable "$store"
    for round in 1 2 3; do
        killed "0.$((RANDOM % 8 + 1))" --agents 5 --seconds 60 --shards $((RANDOM % 3 + 1)) \
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
wrong() {
    run 2 "$@"
    complains "$pattern"
}
pattern="'0'" wrong --agents 0
pattern='does not go with --agents' wrong --agents 2 --events 5
pattern='does not go with --agents' wrong --agents 2 --drive host
pattern='does not go with --agents' wrong --agents 2 --plant chain
pattern='more jobs at once' wrong --agents 2 --tasks 1M
pattern='before it began' wrong --agents 2 --seconds 0
pattern='needs --durable' wrong --agents 2 --async
pattern='was decided when' wrong --agents 2 --resume x --tasks 5
pattern='exclude each other' wrong --agents 2 --durable x --sync --async
last='a log that is missing'
run 1 --agents 2 --resume "$scratch/none"
complains 'cannot be opened'

[ "$failures" -eq 0 ] || exit 1
echo "stress_agents: all good"

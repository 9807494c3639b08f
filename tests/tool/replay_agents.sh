#!/usr/bin/env bash
#
# pawl replay --agents: schedules that are those of a queue with as many servers, to the second, checked by the
# command's own simulation and by the reference one; several shards; priorities; leases that outlast their length;
# what is printed; what is refused.
#
# Needs $PAWL (the command) and $PAWL_SUPPORT (where swf_generate and swf_reference are).
set -euo pipefail

: "${PAWL:?is not set: the pawl command}"
: "${PAWL_SUPPORT:?is not set: the folder of swf_generate and swf_reference}"
generate=$PAWL_SUPPORT/swf_generate
reference=$PAWL_SUPPORT/swf_reference
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

fail() {
    printf 'replay_agents.sh: %s\n' "$*" >&2
    exit 1
}

# expect_exit CODE ARGUMENT... - what the command prints is then in out and err.
expect_exit() {
    local wanted=$1 code=0
    shift
    "$PAWL" replay "$@" >out 2>err || code=$?
    [ "$code" -eq "$wanted" ] || fail "replay $* exits $code, not $wanted: $(cat err)"
}

# expect_same LOG ARGUMENT... - the schedule must be the one in the file `wanted`.
expect_same() {
    expect_exit 0 "$@" --schedule got
    diff -q wanted got >/dev/null || fail "replay $*: another schedule: $(diff wanted got | head -5)"
}

expect_in() {
    grep -q -e "$2" "$1" || fail "'$2' is not in $1: $(cat "$1")"
}

# json_value KEY - of the object in out.
json_value() {
    sed -n "s/^ *\"$1\": *\([^,]*\),\{0,1\}\$/\1/p" out
}

expect_value() {
    [ "$(json_value "$1")" = "$2" ] || fail "$1 is $(json_value "$1"), not $2"
}

rest='-1 -1 -1 -1 -1 -1 -1 -1 -1 -1'

# ---- the schedule: that of the partition task, if each job has one processor ----

for style in even ties zero wide shuffle burst mixed; do
    "$generate" 1 400 "$style" | awk '!/^;/ { $5 = 1; $8 = 1 } { print }' >log.swf
    for agents in 1 3 40; do
        "$reference" log.swf "$agents" >wanted
        [ -s wanted ] || fail "the reference has no schedule for style $style"
        expect_same log.swf --agents "$agents"
        expect_exit 0 log.swf --agents "$agents" --priority run
        for shards in 2 8; do
            expect_exit 0 log.swf --agents "$agents" --shards "$shards"
            expect_exit 0 log.swf --agents "$agents" --shards "$shards" --priority run
        done
    done
done

# A second run and another seed change nothing.
"$generate" 7 300 mixed >log.swf
expect_exit 0 log.swf --agents 5 --shards 3 --json --schedule first
first=$(grep -v wall_s out)
expect_exit 0 log.swf --agents 5 --shards 3 --json --schedule second
[ "$first" = "$(grep -v wall_s out)" ] || fail "two runs of one log differ"
cmp first second || fail "two schedules of one log differ"
expect_exit 0 log.swf --agents 5 --schedule first
expect_exit 0 log.swf --agents 5 --schedule second --seed 99
cmp first second || fail "the seed changes the schedule"

# ---- what cannot be got by chance ----

# One agent: arrivals of one second by number; a run time of 0; and the shortest first with --priority.
cat >log.swf <<END
9 10 -1 5 3 -1 -1 -1 $rest
7 10 -1 10 100 -1 -1 -1 $rest
8 12 -1 0 -1 -1 -1 2 $rest
5 12 -1 20 1 -1 -1 -1 $rest
END
printf '5 25 45 1\n7 10 20 1\n8 45 45 1\n9 20 25 1\n' >wanted
expect_same log.swf --agents 1 --json
keys=$(grep -o '"[a-z0-9_]*":' out | tr -d '":' | tr '\n' ' ')
[ "$keys" = "jobs skipped agents shards makespan_s mean_wait_s median_wait_s p95_wait_s max_wait_s \
mean_bounded_slowdown utilization utilization_least utilization_most leases extensions compared \
events transitions wall_s " ] || fail "the keys are $keys"
expect_value jobs 4
expect_value skipped 0
expect_value agents 1
expect_value makespan_s 35
expect_value mean_wait_s 14.000000
expect_value median_wait_s 10
expect_value p95_wait_s 33
expect_value max_wait_s 33
expect_value utilization 1.000000
expect_value leases 4
expect_value extensions 0
expect_value compared '"schedule"'
printf '5 25 45 1\n7 15 25 1\n8 15 15 1\n9 10 15 1\n' >wanted
expect_same log.swf --agents 1 --priority run

# Three agents, one of which never gets anything.
printf '1 0 -1 10 1 -1 -1 -1 %s\n2 10 -1 10 1 -1 -1 -1 %s\n' "$rest" "$rest" >log.swf
expect_exit 0 log.swf --agents 3 --json
expect_value utilization 0.333333
expect_value utilization_least 0.000000
for key in $keys; do
    expect_exit 0 log.swf --agents 2
    expect_in out "^$key  *[0-9s]"
done

# Leases last a day: a year's job is extended, not lost; a second agent has nothing of it.
printf '1 0 -1 31536000 1 -1 -1 -1 %s\n' "$rest" >log.swf
printf '1 0 31536000 1\n' >wanted
expect_same log.swf --agents 2 --json
expect_value leases 1
expect_value extensions 729
printf '1 0 -1 4000000000 1 -1 -1 -1 %s\n2 0 -1 4000000000 1 -1 -1 -1 %s\n' "$rest" "$rest" >log.swf
printf '3 0 -1 4000000000 1 -1 -1 -1 %s\n' "$rest" >>log.swf
expect_exit 1 log.swf --agents 1
expect_in err 'job 3 (line 3) would run beyond'

# Nothing to do is done; no header is needed; what cannot run is skipped.
echo '; Version: 2.2' >log.swf
expect_exit 0 log.swf --agents 4 --json
expect_value jobs 0
printf '1 0 -1 -1 1 -1 -1 -1 %s\n2 0 -1 10 0 -1 -1 -1 %s\nbad\n' "$rest" "$rest" >log.swf
expect_exit 0 log.swf --agents 4 --json
expect_value skipped 2
expect_in err 'malformed lines left out: 1'
expect_exit 1 log.swf --agents 4 --strict

# ---- exit codes ----

expect_exit 0 --help
for option in --agents --priority; do
    expect_in out "$option"
done
expect_exit 2 log.swf --agents 0
expect_exit 2 log.swf --agents 4001
expect_exit 2 log.swf --agents some
expect_exit 2 log.swf --agents 2 --processors 2
expect_in err 'without --processors'
expect_exit 2 log.swf --agents 2 --speed 10
expect_in err 'without --speed'
expect_exit 2 log.swf --priority run
expect_exit 2 log.swf --agents 2 --priority age
expect_exit 1 missing.swf --agents 2

echo 'replay_agents.sh: all good'

#!/usr/bin/env bash
#
# pawl replay --agents: schedules that are those of a queue with as many servers, to the second, checked by the
# command's own simulation and by the reference one; several shards; priorities; leases that outlast their length;
# what is printed; what is refused.
#
# Needs $PAWL (the command) and $PAWL_SUPPORT (where swf_generate and swf_reference are).
# shellcheck source-path=SCRIPTDIR source=lib.bash
. "${BASH_SOURCE[0]%/*}/lib.bash" stop
verb=replay
generate=$PAWL_SUPPORT/swf_generate
reference=$PAWL_SUPPORT/swf_reference

rest='-1 -1 -1 -1 -1 -1 -1 -1 -1 -1'

# ---- the schedule: that of the partition task, if each job has one processor ----

for style in even ties zero wide shuffle burst mixed; do
    "$generate" 1 400 "$style" | awk '!/^;/ { $5 = 1; $8 = 1 } { print }' >log.swf
    for agents in 1 3 40; do
        "$reference" log.swf "$agents" >wanted
        [ -s wanted ] || fail "the reference has no schedule for style $style"
        expect_same log.swf --agents "$agents"
        run 0 log.swf --agents "$agents" --priority run
        for shards in 2 8; do
            run 0 log.swf --agents "$agents" --shards "$shards"
            run 0 log.swf --agents "$agents" --shards "$shards" --priority run
        done
    done
done

# A second run and another seed change nothing.
"$generate" 7 300 mixed >log.swf
run 0 log.swf --agents 5 --shards 3 --json --schedule first
first=$(grep -v wall_s out)
run 0 log.swf --agents 5 --shards 3 --json --schedule second
[ "$first" = "$(grep -v wall_s out)" ] || fail "two runs of one log differ"
cmp first second || fail "two schedules of one log differ"
run 0 log.swf --agents 5 --schedule first
run 0 log.swf --agents 5 --schedule second --seed 99
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
is jobs 4
is skipped 0
is agents 1
is makespan_s 35
is mean_wait_s 14.000000
is median_wait_s 10
is p95_wait_s 33
is max_wait_s 33
is utilization 1.000000
is leases 4
is extensions 0
is compared '"schedule"'
printf '5 25 45 1\n7 15 25 1\n8 15 15 1\n9 10 15 1\n' >wanted
expect_same log.swf --agents 1 --priority run

# Three agents, one of which never gets anything.
printf '1 0 -1 10 1 -1 -1 -1 %s\n2 10 -1 10 1 -1 -1 -1 %s\n' "$rest" "$rest" >log.swf
run 0 log.swf --agents 3 --json
is utilization 0.333333
is utilization_least 0.000000
for key in $keys; do
    run 0 log.swf --agents 2
    expect_in out "^$key  *[0-9s]"
done

# Leases last a day: a year's job is extended, not lost; a second agent has nothing of it.
printf '1 0 -1 31536000 1 -1 -1 -1 %s\n' "$rest" >log.swf
printf '1 0 31536000 1\n' >wanted
expect_same log.swf --agents 2 --json
is leases 1
is extensions 729
printf '1 0 -1 4000000000 1 -1 -1 -1 %s\n2 0 -1 4000000000 1 -1 -1 -1 %s\n' "$rest" "$rest" >log.swf
printf '3 0 -1 4000000000 1 -1 -1 -1 %s\n' "$rest" >>log.swf
run 1 log.swf --agents 1
expect_in err 'job 3 (line 3) would run beyond'

# Nothing to do is done; no header is needed; what cannot run is skipped.
echo '; Version: 2.2' >log.swf
run 0 log.swf --agents 4 --json
is jobs 0
printf '1 0 -1 -1 1 -1 -1 -1 %s\n2 0 -1 10 0 -1 -1 -1 %s\nbad\n' "$rest" "$rest" >log.swf
run 0 log.swf --agents 4 --json
is skipped 2
expect_in err 'malformed lines left out: 1'
run 1 log.swf --agents 4 --strict

# ---- exit codes ----

run 0 --help
for option in --agents --priority; do
    expect_in out "$option"
done
run 2 log.swf --agents 0
run 2 log.swf --agents 4001
run 2 log.swf --agents some
run 2 log.swf --agents 2 --processors 2
expect_in err 'without --processors'
run 2 log.swf --agents 2 --speed 10
expect_in err 'without --speed'
run 2 log.swf --priority run
run 2 log.swf --agents 2 --priority age
run 1 missing.swf --agents 2

finish

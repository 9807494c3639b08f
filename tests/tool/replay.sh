#!/usr/bin/env bash
#
# pawl replay: schedules that are right to the second on any number of shards, checked against the
# reference simulation on generated logs; measures; malformed lines; files; exit codes.
#
# Needs $PAWL (the command) and $PAWL_SUPPORT (where swf_generate and swf_reference are).
# shellcheck source-path=SCRIPTDIR source=lib.bash
. "${BASH_SOURCE[0]%/*}/lib.bash" stop
verb=replay
generate=$PAWL_SUPPORT/swf_generate
reference=$PAWL_SUPPORT/swf_reference

rest='-1 -1 -1 -1 -1 -1 -1 -1 -1 -1'

# ---- the schedule, on any number of shards ----

for style in even ties zero wide shuffle burst mixed; do
    for seed in 1 2; do
        jobs=400
        [ "$style" != burst ] || jobs=2000
        "$generate" "$seed" "$jobs" "$style" >log.swf
        "$reference" log.swf >wanted
        [ -s wanted ] || fail "the reference has no schedule for style $style, seed $seed"
        for shards in 1 2 3 8; do
            expect_same log.swf --shards "$shards" --seed "$seed"
        done
    done
done

# Neither the seed nor a second run changes anything, events included.
"$generate" 7 300 mixed >log.swf
run 0 log.swf --shards 3 --json --schedule first
first=$(grep -v wall_s out)
run 0 log.swf --shards 3 --json --schedule second
[ "$first" = "$(grep -v wall_s out)" ] || fail "two runs of one log differ"
cmp first second || fail "two schedules of one log differ"

# Half of the machine, or more than there is of it.
for processors in 8 64 1000000; do
    "$reference" log.swf "$processors" >wanted
    expect_same log.swf --processors "$processors" --shards 2
done

# ---- what cannot be got by chance ----

# Those who end and those who come in one second: the end is first, then the smaller number.
cat >log.swf <<END
; MaxProcs: 4
5 10 -1 10 4 -1 -1 -1 $rest
9 20 -1 5 3 -1 -1 -1 $rest
7 20 -1 0 4 -1 -1 -1 $rest
8 20 -1 5 -1 -1 -1 2 $rest
1 25 -1 1 4 -1 -1 -1 $rest
END
printf '1 30 31 4\n5 10 20 4\n7 20 20 4\n8 20 25 2\n9 25 30 3\n' >wanted
for shards in 1 2 3 8; do
    expect_same log.swf --shards "$shards" --json
done
is makespan_s 21
is mean_wait_s 2.000000
is max_wait_s 5
is mean_bounded_slowdown 1.000000
is utilization 0.821429

# The head blocks: a job that would fit waits behind one that does not.
cat >log.swf <<END
; MaxProcs: 4
1 0 -1 100 3 -1 -1 -1 $rest
2 1 -1 100 2 -1 -1 -1 $rest
3 2 -1 1 1 -1 -1 -1 $rest
END
printf '1 0 100 3\n2 100 200 2\n3 100 101 1\n' >wanted
expect_same log.swf

# A hundred years are a few steps of the clock; what cannot be represented is refused.
cat >log.swf <<END
; MaxProcs: 1
1 3999999999 -1 4000000000 1 -1 -1 -1 $rest
2 3999999999 -1 4000000000 1 -1 -1 -1 $rest
END
"$reference" log.swf >wanted
expect_same log.swf --shards 2
printf '3 3999999999 -1 4000000000 1 -1 -1 -1 %s\n' "$rest" >>log.swf
run 1 log.swf
expect_in err 'job 3 (line 4) would run beyond'

# ---- measures ----

"$generate" 11 500 even >log.swf
"$reference" --summary log.swf >summary
run 0 log.swf --shards 2 --json
keys=$(grep -o '"[a-z_]*":' out | tr -d '":' | tr '\n' ' ')
[ "$keys" = "jobs skipped processors makespan_s mean_wait_s max_wait_s mean_bounded_slowdown \
utilization events transitions wall_s " ] || fail "the keys are $keys"
while read -r key value; do
    awk -v a="$(value "$key")" -v b="$value" \
        'BEGIN { d = a - b; exit !(a != "" && (d < 0 ? -d : d) < 1e-5) }' ||
        fail "$key is $(value "$key"), the reference says $value"
done <summary
jobs=$(value jobs)
# Three transitions a job (arrive, start, end) and the partition's; as many events at the least.
[ "$(value transitions)" -gt $((3 * jobs)) ] || fail "$(value transitions) transitions"
[ "$(value events)" -ge "$((3 * jobs))" ] || fail "$(value events) events"
run 0 log.swf
for key in $keys; do
    expect_in out "^$key  *[0-9]"
done

# Nothing to do is done.
echo '; MaxProcs: 4' >log.swf
run 0 log.swf --json --schedule got
is jobs 0
is makespan_s 0
[ ! -s got ] || fail "an empty log has a schedule"

# ---- what is skipped, and what is malformed ----

cat >log.swf <<END
; MaxProcs: 4
1 0 -1 10 1 -1 -1 -1 $rest
2 0 -1 -1 1 -1 -1 -1 $rest
3 0 -1 10 0 -1 -1 2 $rest
4 0 -1 10 5 -1 -1 2 $rest
5 0 -1 10 -1 -1 -1 -1 $rest
six 0 -1 10 1 -1 -1 -1 $rest
7 0 -1 10 1
8 0 -1 0 -1 -1 -1 4 $rest
1 3 -1 10 1 -1 -1 -1 $rest
9 -1 -1 10 1 -1 -1 -1 $rest
END
printf '1 0 10 1\n8 10 10 4\n' >wanted
expect_same log.swf --json
is jobs 2
is skipped 4
for line in 7 8 10 11; do
    expect_in err "log.swf:$line: malformed"
done
expect_in err 'malformed lines left out: 4'
[ "$(grep -c 'log.swf:[0-9]' err)" -eq 4 ] || fail "malformed lines: $(cat err)"

run 1 log.swf --strict
expect_in err 'log.swf:7: malformed'
[ "$(grep -c malformed err)" -eq 1 ] || fail "--strict goes on: $(cat err)"
[ ! -s out ] || fail "--strict prints a result: $(cat out)"
grep -v -e '^six' -e '^7' -e '^9' log.swf >twice.swf
run 1 twice.swf --strict
expect_in err 'twice.swf:8: malformed.*earlier line'
grep -v '^1 3' twice.swf >clean.swf
expect_same clean.swf --strict
[ ! -s err ] || fail "a good log has complaints: $(cat err)"

# Line ends of other systems, an overlong line, a zero byte.
sed 's/$/\r/' clean.swf >crlf.swf
expect_same crlf.swf --strict
{
    cat clean.swf
    head -c 10000 /dev/zero | tr '\0' '1'
    printf '\n11 0 -1 10 1\0 -1 -1 -1 %s\n' "$rest"
} >odd.swf
expect_same odd.swf
expect_in err 'odd.swf:8: malformed line: longer'
expect_in err 'odd.swf:9: malformed line: a zero byte'

# ---- processors ----

sed 's/MaxProcs/MaxNodes/' clean.swf >nodes.swf
expect_same nodes.swf
grep -v ';' clean.swf >bare.swf
run 1 bare.swf
expect_in err 'MaxProcs'
expect_same bare.swf -p 4

# ---- gzip ----

"$generate" 5 500 mixed >log.swf
"$reference" log.swf >wanted
gzip -c log.swf >log.swf.gz
expect_same log.swf.gz --shards 2
head -c 2000 log.swf.gz >cut.swf.gz
run 1 cut.swf.gz
expect_in err 'truncated'

# ---- real time ----

# Whatever the machine does meanwhile, things come late and never early, each job runs as long as it
# should, and the order is kept.
cat >log.swf <<END
; MaxProcs: 4
1 100 -1 10 3 -1 -1 -1 $rest
2 103 -1 6 2 -1 -1 -1 $rest
3 103 -1 0 1 -1 -1 -1 $rest
4 115 -1 3 4 -1 -1 -1 $rest
END
"$reference" log.swf >wanted
run 0 log.swf --speed 50 --shards 2 --schedule got --json
is jobs 4
paste -d ' ' wanted got | awk '
    $1 != $5 || $4 != $8 || $6 < $2 || $7 - $6 < $3 - $2 || $6 < before { bad = 1 }
    { before = $6; lines++ }
    END { exit bad || lines != 4 }' || fail "real time: $(cat got)"

# ---- exit codes ----

run 0 --help
expect_in out '^usage: pawl replay'
for option in --processors --shards --speed --strict --schedule --seed --json --version; do
    expect_in out "$option"
done
run 0 --version
run 2
run 2 log.swf other.swf
run 2 log.swf --nothing
run 2 log.swf --shards 0
run 2 log.swf --shards many
run 2 log.swf --processors -1
run 2 log.swf --speed 0
run 2 log.swf --speed
run 1 missing.swf
expect_in err 'missing.swf'
run 1 .
run 1 log.swf --schedule missing/got
[ ! -c /dev/full ] || run 1 log.swf --schedule /dev/full

finish

#!/usr/bin/env bash
#
# pawl inspect: what a killed host has left in its store: states, lanes, agents, tasks, and one task whole; as text
# and as JSON; filters and orders; stores of which a part is missing. Nothing is changed.
#
# Needs $PAWL (the command) and $PAWL_SUPPORT (work_sample).
# shellcheck disable=SC2154,SC1010 # names are declared by reading them; done is one
# shellcheck source-path=SCRIPTDIR source=lib.bash
. "${BASH_SOURCE[0]%/*}/lib.bash" stop
verb=inspect

"$PAWL_SUPPORT/work_sample" store >names || fail "there is no sample"
while read -r name number; do
    declare "id_$name=$number"
done <names
(cd store && cksum ./*) >before

# ---- the list ----

run 0 store
for line in 'pawl.work  *new  *1' 'pawl.work  *dependent  *1' 'pawl.work  *delayed  *1' \
    'pawl.work  *ready  *2' 'pawl.work  *leased  *1' 'pawl.work  *completed  *1' \
    'pawl.work  *dead  *1' 'pawl.note.s  *kept  *3' 'pawl.note.l  *kept  *3'; do
    expect_in out "^$line\$"
done
[ "$(tasks | wc -l)" -eq 8 ] || fail "not eight tasks: $(cat out)"
# A lane that was told something is known by its name, the other only by its number.
expect_in out '^verify  *1  *0  *0  .* s  paused$'
expect_in out '^[0-9a-f]\{8\}  *1  *1  *5  .* s$'
expect_in out '^[0-9]*\.1  *1  *[0-9.]* s$'
{
    expect_in out "^$id_done  completed .* 1 of 3 .* \"done\"\$"
    expect_in out "^$id_dead  dead .* 1 of 1 .* \"dead\"\$"
    expect_in out "^$id_leased  leased .* 5  1 of 3    [0-9]*\\.1  *\"leased\"\$"
    expect_in out "^$id_bytes  ready .* verify .* 0001\$"
    expect_in out "^$id_held  new "
}

run 0 store --state ready
[ "$(tasks | wc -l)" -eq 2 ] || fail "not two ready: $(cat out)"
run 0 store --lane verify
[ "$(tasks)" = "$id_bytes" ] || fail "verify: $(cat out)"
run 0 store --lane build --sort priority
[ "$(tasks | tail -n 1)" = "$id_ready" ] || fail "the least urgent is not last: $(cat out)"
[ "$(tasks | tail -n 2 | head -n 1)" = "$id_leased" ] || fail "by priority: $(cat out)"
expect_in out '^build  *1  *1  *5 '
number=$("$PAWL" inspect store | sed -n 's/^\([0-9a-f]\{8\}\)  .*/\1/p')
run 0 store --lane "$number" --state leased
[ "$(tasks)" = "$id_leased" ] || fail "by the lane's number: $(cat out)"
run 0 store --sort age
ages() {
    sed -n 's/^[0-9a-f]\{16\}  [a-z]*  *\([0-9.]*\) s  .*/\1/p' out
}
[ "$(tasks | head -n 1)" = "$id_done" ] || fail "the oldest is not first: $(cat out)"
[ "$(ages | wc -l)" -eq 8 ] || fail "no ages: $(cat out)"
ages | sort -rnc || fail "they are not by age: $(cat out)"
for order in agent lane state; do
    run 0 store --sort "$order"
    [ "$(tasks | wc -l)" -eq 8 ] || fail "--sort $order: $(cat out)"
done
run 0 store --limit 3
[ "$(tasks | wc -l)" -eq 3 ] || fail "--limit 3: $(cat out)"
expect_in out '^and 5 more'

run 0 store --json --limit 2
is_json
expect_in out '{"machine":"pawl.work","state":"ready","tasks":2}'
expect_in out '"lane":"verify","number":"[0-9a-f]\{8\}","ready":1,.*"paused":true'
expect_in out '"matching":8'
[ "$(grep -c '"task":' out)" -eq 2 ] || fail "not two in JSON: $(cat out)"
run 0 store --json --lane verify
expect_in out '"key_hex":"0001"'

# ---- one task whole ----

run 0 store --task done
expect_in out "^task        $id_done, key \"done\", shard "
expect_in out '^state       completed for '
expect_in out '^value       42$'
expect_in out '^settled     20'
expect_in out '^evidence    notes: 1, bytes: 30$'
expect_in out 'evidence, 30 bytes, value 0, hash 000000000000feed, agent [0-9]*\.1, token [0-9]*\.1$'
expect_in out '^    all 7 tests pass$'
expect_in out '^    no wärnings$'
expect_in out '^    make all$'
expect_in out '^    with a "quote"$'
expect_in out '^    00ff$'
[ "$(grep -n 'evidence, 30' out | cut -d: -f1)" -lt "$(grep -n '  detail$' out | cut -d: -f1)" ] ||
    fail "the newest note is not the first: $(cat out)"
cp out by_key
for which in "$id_done" "0x${id_done#00000000}" key:done; do
    run 0 store --task "$which"
    cmp -s out by_key || fail "--task $which shows something else: $(cat out)"
done
run 0 store --task done --json
is_json
expect_in out '"value":"000000000000002a"'
expect_in out '"bytes":"all 7 tests pass\\u000ano wärnings\\u000a"'
expect_in out '"title":"make all","description":"with a \\"quote\\"","payload_hex":"00ff","metadata":""'

run 0 store --task dead
expect_in out '^attempts    1 of 1$'
expect_in out '^failure     class 7$'
expect_in out 'attempt 1 failed, class 7, agent [0-9]*\.1, token'
expect_in out '^history     notes: 1$'

run 0 store --task leased
expect_in out '^lease       held by agent [0-9]*\.1, token [0-9.]*; leases so far: 1$'
expect_in out '^timers      lease in [1-9][0-9]*\.[0-9]* s$'
expect_in out '^progress    33$'
expect_in out "^waited by   $id_dependent  dependent  \"dependent\"\$"
expect_in out "^children    $id_dependent  dependent"
expect_in out '^ports       that wait for it: 1$'
expect_in out '1024 of 10000 bytes; --json has them all'
run 0 store --task leased --json
is_json
expect_in out "\"waits_for\":\\[\\],\"waited_by\":\\[\"$id_dependent\"\\],\"ports_waiting\":1"
expect_in out '"bytes":"x\{9999\}y"'

run 0 store --task dependent
expect_in out '^waits       for tasks: 1$'
expect_in out "^  for       $id_leased  leased  \"leased\"\$"
expect_in out "^parent      $id_leased  leased"
run 0 store --task dependent --json
is_json
expect_in out "\"waits_for\":\\[\"$id_leased\"\\],\"waited_by\":\\[\\]"
expect_in out "\"parent\":\"$id_leased\""

(cd store && cksum ./*) >after
cmp -s before after || fail "inspect changed the store"

# ---- stores that are not as they should be ----

"$PAWL" export store >lines
# The middle of three parts of a note is missing.
awk '/"name":"pawl.note.l"/ && ++count == 2 { next } { print }' lines >less
"$PAWL" import less_store <less >/dev/null
run 0 less_store
run 1 less_store --task leased
expect_in err 'the notes cannot be read on: '
run 1 less_store --task leased --json
is_json
# The tasks of another version of the library.
awk '/"pawl_export"/ { sub(/"context_size":[0-9]+/, "\"context_size\":8") }
    /"name":"pawl.work"/ && !/"pawl_export"/ {
        sub(/"context":"[0-9a-f]*"/, "\"context\":\"0000000000000000\"") }
    { print }' lines >other
"$PAWL" import other_store <other >/dev/null
run 0 other_store
expect_in out '^8 work tasks of another version'
expect_in out '^pawl.work  *ready  *2$'
run 1 other_store --task leased
# No work at all, no store, no whole store.
grep -v '"name":"pawl\.\(work\|note\..\|lane\)","state"' lines >none
"$PAWL" import none_store <none >/dev/null
run 0 none_store
expect_not_in out '^task '
run 1 nowhere
expect_in err 'there is no manifest'
journal=$(find store -name '*.journal' -size +8k | sort | head -n 1)
printf 'damage' | dd of="$journal" bs=1 seek=4200 conv=notrunc status=none
run 1 store
expect_in err 'verify'

# ---- exit codes ----

run 0 --help
for option in --task --state --lane --sort --limit --json --live; do
    expect_in out "$option"
done
run 0 --version
run 2
run 2 less_store other_store
run 2 less_store --state lost
expect_in err 'a state of work tasks'
run 2 less_store --sort size
run 2 less_store --limit many
run 2 --live
expect_in err 'name one directory, or --live and one socket'
run 1 less_store --lane nowhere
expect_in err "lane 'nowhere'"
for which in key:nothing nothing ffffffffffffffff ''; do
    run 1 less_store --task "$which"
    expect_in err 'no work task has the id or key'
done

holds='a store is shown, and left as it is'
finish

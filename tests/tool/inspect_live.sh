#!/usr/bin/env bash
#
# pawl inspect --live: a running process shows what its store shows; it is left as it is; what is no
# window, or none any more, is told apart. And pawl stress --live, looked at under load.
#
# Needs $PAWL (the command) and $PAWL_SUPPORT (work_sample).
# shellcheck disable=SC2154,SC1010 # names are declared by reading them; done is one
# shellcheck source-path=SCRIPTDIR source=lib.bash
. "${BASH_SOURCE[0]%/*}/lib.bash" stop
verb=inspect

# ---- a host that stands still ----

mkfifo ends
"$PAWL_SUPPORT/work_sample" store window >names <ends &
child=$!
exec 7>ends
until grep -q 'window open' names; do
    kill -0 "$child" 2>/dev/null || fail "there is no sample"
    sleep 0.01
done
while read -r name number; do
    declare "id_$name=$number"
done <names

run 0 --live window
expect_in out '^process [0-9]*, Pawl [0-9.]*, up for [0-9.]* s, shards: 2$'
expect_in out '^events: [1-9][0-9]* '
for line in 'pawl.work  *new  *1' 'pawl.work  *dependent  *1' 'pawl.work  *delayed  *1' \
    'pawl.work  *ready  *2' 'pawl.work  *leased  *1' 'pawl.work  *completed  *1' \
    'pawl.work  *dead  *1' 'pawl.note.s  *kept  *3' 'pawl.note.l  *kept  *3'; do
    expect_in out "^$line\$"
done
expect_in out '^build  *1  *1  *5  .* s  *3  *[0-9.]*  *0  *0  *0  *1$'
expect_in out '^verify  *1  *0  *0  .* s .*  paused$'
expect_in out '^[0-9]*\.1  *1  *[0-9.]* s  *0  worker$'
[ "$(tasks | wc -l)" -eq 8 ] || fail "not eight tasks: $(cat out)"
{
    expect_in out "^$id_done  completed .* 1 of 3 .* \"done\"\$"
    expect_in out "^$id_bytes  ready .* verify .* 0001\$"
    expect_in out "^$id_leased  leased .* build .* 5  1 of 3    [0-9]*\\.1  *\"leased\"\$"
}

# The same choice as of its store; the order of equals is by ages, which are of other clocks there.
for wish in '--sort priority' '--state ready' '--lane verify' '--lane build --sort agent' '--lane e4ce2924'; do
    # shellcheck disable=SC2086 # several words
    run 0 store $wish
    tasks | sort >stored
    # shellcheck disable=SC2086
    run 0 --live window $wish
    tasks | sort >live
    [ -s live ] || fail "nothing is listed"
    cmp -s stored live || fail "the store lists other tasks: $(cat stored)"
done
run 0 --live window --sort priority
[ "$(tasks | tail -n 2 | head -n 1)" = "$id_leased" ] || fail "by priority"
[ "$(tasks | tail -n 1)" = "$id_ready" ] || fail "the least urgent is not last"
run 0 --live window --sort age --lane build --limit 2
[ "$(tasks | wc -l)" -eq 2 ] || fail "not two"
run 0 --live window --sort age
sed -n 's/^[0-9a-f]\{16\}  [a-z]*  *\([0-9.]*\) s .*/\1/p' out >ages
[ "$(wc -l <ages)" -eq 8 ] || fail "not eight ages"
sort -c -g -r ages || fail "the oldest is not first"
run 0 --live window --limit 3
expect_in out '^and 5 more'
run 0 --live window --json --limit 2
is_json
expect_in out '^{"process":{"pid":[0-9]*,"version":"'
expect_in out '{"machine":"pawl.work","state":"ready","tasks":2}'
expect_in out '"lane":"verify","number":"e4ce2924","ready":1,.*"paused":true'
expect_in out '"lane":"build",.*"leases":3,.*"good":1,"bad":1'
expect_in out '"open":true,"credits":0'
expect_in out '"matching":8'
[ "$(grep -c '"task":' out)" -eq 2 ] || fail "not two in JSON"

# One task whole is what the store has of it, but for who waits for whom, and for times that go on.
lasting() {
    grep -v -e '^state ' -e '^timers' -e '^  for' -e '^waited by' -e '^ports' "$1"
}
for task in done dead leased dependent ready held; do
    which="id_$task"
    run 0 store --task "${!which}"
    lasting out | sed "s/^lane        [0-9a-f]\{8\},/lane        build,/" >stored
    run 0 --live window --task "${!which}"
    lasting out >live
    cmp -s stored live || fail "$task is not what the store has: $(diff stored live)"
done
run 0 --live window --task leased
expect_in out '^timers      lease in [1-9][0-9]*\.[0-9]* s$'
expect_in out "^children    $id_dependent  dependent"
run 0 --live window --task "0x${id_done#00000000}"
expect_in out "^task        $id_done, key \"done\""
run 0 --live window --task leased --json
is_json
expect_in out '"bytes":"x\{9999\}y"'
expect_not_in out 'waited_by' # it is not known, which is not the same as nobody
run 0 --live window --task done --json
is_json
expect_in out '"title":"make all","description":"with a \\"quote\\"","payload_hex":"00ff","metadata":""'

# ---- what is not there ----

for which in key:nothing nothing ffffffffffffffff ''; do
    run 1 --live window --task "$which"
    expect_in err 'no work task has the id or key'
done
run 1 --live window --lane nowhere
expect_in err 'no lane of that name'
run 1 --live window --lane ''
run 2 --live window --limit 4097
expect_in err 'at most 4096'
run 2 --live
run 2 --live window store
run 1 --live nowhere
expect_in err 'No such file'
touch plain
run 1 --live plain
expect_in err 'is it no window'
run 1 --live "$(printf 'x%.0s' {1..200})"
expect_in err 'at most 107 bytes'

# A host that ends as it should takes its window away; one that is killed leaves a dead one.
exec 7>&-
wait "$child"
child=
[ ! -e window ] || fail "the window is left behind"
run 1 --live window

# ---- under load ----

"$PAWL" stress --agents 4 --tasks 500 --seconds 4 --shards 2 --no-pin --live window >summary 2>&1 </dev/null &
child=$!
until [ -S window ]; do
    kill -0 "$child" 2>/dev/null || fail "$(cat summary)"
    sleep 0.01
done
looks=0
while "$PAWL" inspect --live window --sort age --limit 5 >out 2>err && grep -q '^process ' out &&
    "$PAWL" inspect --live window --json >out 2>err; do
    is_json
    looks=$((looks + 1))
    sleep 0.1
done
[ "$looks" -ge 3 ] || fail "it could be looked at $looks times only" # until it ended
wait "$child" || fail "it does not keep its promises when it is looked at: $(cat summary)"
child=
[ ! -e window ] || fail "the window is left behind"

"$PAWL" stress --tasks 1000 --seconds 30 --shards 1 --no-pin --live window >summary 2>&1 </dev/null &
child=$!
until [ -S window ]; do
    kill -0 "$child" 2>/dev/null || fail "$(cat summary)"
    sleep 0.01
done
run 0 --live window
expect_not_in out 'pawl.work'
code=0
"$PAWL" stress --tasks 10 --seconds 1 --live window >out 2>err </dev/null || code=$?
[ "$code" -eq 1 ] || fail "two windows at one path"
expect_in err 'somebody listens there'
kill -KILL "$child"
wait "$child" 2>/dev/null || true
child=
run 1 --live window
expect_in err 'nobody listens there'
"$PAWL" stress --tasks 10 --events 100 --live window >out 2>err </dev/null || fail "a dead window is in the way"
[ ! -e window ] || fail "the window is left behind"

# ---- what is no honest window ----

# impostor ROW... - answers one client with these rows, whatever it asks, behind a greeting.
impostor() {
    rm -f window
    python3 -c '
import socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind("window")
listener.listen(1)
client, _ = listener.accept()
for row in sys.argv[1:]:
    client.sendall(row.encode() + b"\n")
client.recv(2000)
' '{"row":"pawl","protocol":1,"version":"1\u001b[31m","pid":1}' "$@" &
    child=$!
    until [ -S window ]; do
        kill -0 "$child" 2>/dev/null || fail "there is no impostor"
        sleep 0.01
    done
}

if command -v python3 >/dev/null; then
    armed='\u001b]0;owned\u0007\b\r\u007f\u009b2J\nforged\t'
    for json in '' --json; do
        impostor '{"row":"state","machine":"'"$armed"'","state":"'"$armed"'","tasks":1}' \
            '{"row":"lane","lane":"'"$armed"'","number":"0000abcd"}' \
            '{"row":"agent","agent":"1","open":true,"name":"'"$armed"'"}' \
            '{"row":"task","state":"ready","task":"1","lane":"'"$armed"'"}' \
            '{"row":"end","complete":true}'
        # shellcheck disable=SC2086 # one word or none
        run 0 --live window $json
        wait "$child"
        child=
        [ "$(tr -d '\n -~' <out | wc -c)" -eq 0 ] || fail "a terminal would obey: $(cat -v out)"
        expect_not_in out '^forged'
        expect_in out 'owned'
    done
    impostor '{"row":"end","complete":false,"code":-2,"error":"bad '"$armed"'"}'
    run 1 --live window
    wait "$child"
    child=
    [ "$(tr -d '\n\t -~' <err | wc -c)" -eq 0 ] || fail "a terminal would obey: $(cat -v err)"
    expect_in err 'bad ?'
    impostor "$(printf '{"row":"state","machine":"\033[2J","state":"x","tasks":1}')"
    run 1 --live window
    wait "$child"
    child=
    expect_in err 'no value that could be one'
    rm -f window
fi

holds='a running process is shown, and keeps running'
finish

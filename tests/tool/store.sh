#!/usr/bin/env bash
#
# pawl verify, history, export, import, salvage: a whole store, a torn one, and damage of each kind. What a
# command says, how it exits, and that what it only reads stays as it was.
#
# Needs $PAWL (the command) and $PAWL_SUPPORT (store_sample).
# shellcheck source-path=SCRIPTDIR source=lib.bash
. "${BASH_SOURCE[0]%/*}/lib.bash" stop

# import CODE DIR - of the lines in file `lines`.
import() {
    local code=0
    "$PAWL" import "$2" <lines >out 2>err || code=$?
    [ "$code" -eq "$1" ] || fail "import exits $code, not $1: $(cat out err)"
}

# fresh [WISH] - the sample store, in `store`.
fresh() {
    rm -rf store salvaged
    "$PAWL_SUPPORT/store_sample" store "$@"
}

# poke FILE OFFSET BYTES - overwrites bytes of a file of the store; BYTES as printf has them.
poke() {
    # shellcheck disable=SC2059 # the bytes are a format
    printf "$3" | dd of="store/$1" bs=1 seek="$2" conv=notrunc status=none
}

same_as_before() {
    (cd store && cksum ./*) >after
    cmp -s before after || fail "$1 changed the store"
}

first=0001-0000-000000000001.journal
second=0001-0000-000000000002.journal

# ---- a whole store ----

fresh
(cd store && cksum ./*) >before
run 0 verify store
expect_in out '^store: whole$'
expect_in out "^$first  *whole  *continued  *3  *8  1\\.\\.3 "
expect_in out "^$second  *whole  *open  *3  *3  5\\.\\.7 "
expect_in out '^tasks 2 (reserved 0, with a key 1), timers 0, deferred events 1, events under way 0$'
expect_in out '^older ways to the same state that were compared: 2$'
run 0 verify --json store
expect_in out '"is":"whole","exit":0'
expect_in out '"tasks":2'
if command -v python3 >/dev/null; then
    python3 -m json.tool <out >/dev/null || fail "verify --json prints no JSON"
fi
run 0 history store key:alpha
[ "$(grep -c 'LSN' out)" -eq 3 ] || fail "not three steps: $(cat out)"
expect_in out '^2023-11-14T22:13:20\.000000000Z  0\.010000000 s  coin: locked -> open  version 4  LSN 2 '
expect_in out '^    sends event 0 for 0040000100000003, args ffffffffffffffff 0000000000000002$'
expect_in out '^    timer locked fires in 0\.010000000 s$'
expect_in out '^    deferred now: push for 0000000100000001'
run 0 history store 0x100000002
expect_in out '(cancel): locked -> locked, ended'
run 1 history store 100000099
run 1 history store key:beta
expect_in err "no task has or had the key 'beta'"
run 0 export store
cp out lines
[ "$(grep -c '"task"' lines)" -eq 2 ] || fail "not two tasks: $(cat lines)"
run 0 salvage store salvaged
expect_in out '^salvaged: a whole copy, nothing was lost$'
same_as_before "a command that only reads"

# ---- export and import are opposites ----

without_ids() {
    sed 's/^{"pawl_export":1,"store":"[0-9a-f]*"/{/; s/,"lsn":[0-9]*//' "$1"
}
import 0 imported
run 0 verify imported
run 0 export imported
[ "$(without_ids out)" = "$(without_ids lines)" ] || fail "import and export differ: $(diff out lines)"
cat >lines <<'END'
{"pawl_export":1,"store":"0000000000000001","key_seed":"ffffffffffffffff","epoch":3,"shards":2,"machines":[{"name":"gate","hash":"fedcba9876543210","context_size":16,"durability":"async","states":["locked","open"],"events":["coin","push"],"timers":["bell","locked"]}]}
{"shard":0,"time_ns":9007199254740993,"lsn":1,"links":[{"taken":[0,0],"confirmed":[0,0]},{"taken":[3,0],"confirmed":[4,0]}],"floors":[[0,1024,5]]}
{"alias":"0000000100000009","is":"0000000100000007","of_shard":0}
{"shard":1,"time_ns":6000000000,"lsn":1,"links":[{"taken":[5,0],"confirmed":[3,0]},{"taken":[0,0],"confirmed":[0,0]}],"floors":[]}
{"task":"0000000100000007","machine":0,"name":"gate","state":"open","version":4,"history":65535,"since":"ffffffffffffffff","key":"door \"7\"","context":"01000000000000000200000000000000","timers":[{"number":1,"timer":"locked","remains_ns":-5},{"number":0,"timer":"bell","remains_ns":9000000000}],"deferred":[{"to":"0000000100000007","code":0,"flags":32,"tag":4294967295,"args":["ffffffffffffffff","8000000000000001"],"event":"coin"}]}
{"task":"0040000200000003","machine":0,"name":"gate","state":"locked","version":2,"history":0,"since":"0000000000000000","reserved":true,"key_hex":"00ff","context":""}
{"sent_by":0,"number":6,"to":"0040000200000003","code":1,"flags":36,"tag":0,"args":["0000000000000000","0000000000000001"],"payload":"abcd","event":"push"}
{"sent_by":0,"number":1,"to":"0040000200000003","code":1,"flags":34,"tag":0,"args":["0000000000000000","0000000000000001"],"event":"push"}
END
cp lines good
rm -rf imported
import 0 imported
run 0 export imported
[ "$(without_ids out)" = "$(without_ids good)" ] || fail "import and export differ: $(diff out good)"
run 0 history imported 0000000100000009
expect_in out '^task 0000000100000007, gate$'

# ---- lines that are wrong say which, and leave nothing behind ----

# refused SED-SCRIPT LINE WORDS
refused() {
    sed "$1" good >lines
    cmp -s good lines && fail "'$1' changes nothing"
    import 1 refused
    expect_in err "line $2: .*$3"
    [ ! -e refused ] || fail "'$1' left something behind"
}
refused '1d' 1 "first line must be the store's"
refused '2s/}$//' 2 'at column'
refused '2s/"lsn"/"lns"/' 2 "'lns'"
refused '2s/"lsn":1/"lsn":1,"lsn":1/' 2 'duplicate'
refused '2s/9007199254740993/-1/' 2 "'time_ns'"
refused '2s/9007199254740993/1.5/' 2 "'time_ns'"
refused '4d' 5 'line of shard 1 must stand before'
refused '5s/"open"/"ajar"/' 5 "no state 'ajar'"
refused '5s/"version":4/"version":5/' 5 'even'
refused '5s/0200000000000000"/02"/' 5 'context'
refused '5s/"number":0/"number":1/' 5 'second time'
refused '5s/"number":0/"number":2/' 5 'no number 2'
refused '5s/0000000100000007","machine/0080000100000007","machine/' 5 'no id'
refused '5p' 6 'already'
refused '6s/00ff/00fg/' 6 'hexadecimal'
refused '6s/"key_hex":"00ff"/"key":"door \\"7\\""/' 8 'one key'
refused '7s/"number":6/"number":5/' 7 'has handled'
refused '7s/"flags":36/"flags":32/' 7 'payload'
refused '8s/"0040000200000003"/"0080000200000003"/' 8 'shard'
refused '$s/$/ x/' 8 'at column'
cp good lines
mkdir taken
echo precious >taken/file
import 1 taken
expect_in err 'something in it'
[ "$(ls taken)" = file ] || fail "import wrote into a directory in use"
: >lines
import 1 refused
expect_in err 'no line for the store'

# ---- torn ----

fresh
# The last frame stands at a multiple of 4096; its contents never came to the disk.
offset=$((2 * 4096))
dd if=/dev/zero of="store/$second" bs=1 seek=$((offset + 80)) count=432 conv=notrunc status=none
(cd store && cksum ./*) >before
run 1 verify store
expect_in out '^store: torn$'
expect_in out "^$second.*never acknowledged"
expect_in out '^tasks 3 '
run 1 verify --json store
expect_in out '"is":"torn","exit":1'
run 0 salvage store salvaged
same_as_before "a command that only reads"

# ---- corrupt ----

fresh
poke $second $((offset + 90)) 'x'
run 2 verify store
expect_in out '^store: corrupt$'
expect_in out "^$second, offset $offset: "
run 1 export store
expect_in err 'pawl salvage'
(cd store && cksum ./*) >before
run 1 salvage store salvaged
same_as_before salvage
expect_in out '^shard 0: LOST: LSN 7 and whatever came behind'
run 0 verify salvaged
expect_in out '^tasks 3 '
run 0 export salvaged
expect_in out '\[0,4294967295,1025\]' # no id of what is lost is given out again

# A file that was just being made, with no bytes yet: whoever made it was killed. On any stack.
fresh
: >store/0001-0000-000000000003.journal
for _ in 1 2 3; do
    run 0 verify store
    expect_in out '^store: whole$'
done

# In the middle of the journal: the newest snapshot begins behind it.
fresh
poke $first 4200 'x'
run 2 verify store
run 0 salvage store salvaged
run 0 verify salvaged
expect_in out '^tasks 2 '

# A snapshot: the one before it and the journal hold the same.
fresh
poke 0001-0000-000000000002.snapshot 4200 'x'
run 2 verify store
expect_in out 'the snapshot is of no use'
run 0 salvage store salvaged

# Every checksum is right, and yet it cannot be.
fresh contradiction
run 2 verify store
expect_in out 'the snapshots contradict each other'
fresh orphan
run 2 verify store
expect_in out 'task 0000000100000005: it makes steps, but was never created'
run 1 export store
run 1 salvage store salvaged
expect_in out 'LOST: task 0000000100000005, whose beginning cannot be read'
run 0 verify salvaged

# A missing file, both snapshots gone.
fresh
rm store/*.snapshot "store/$first"
run 2 verify store
expect_in out 'first journal file is missing'
run 1 salvage store salvaged
expect_in out '^shard 0: LOST: all of it'
run 0 verify salvaged
expect_in out '^tasks 1 '

# A header; files of the epoch before can still be read.
fresh
poke 0001-0001-000000000002.journal 40 'x'
run 2 verify store
run 1 salvage store salvaged
expect_in out '^shard 1: LOST: '
run 0 verify salvaged

# The manifest.
fresh
poke manifest 4300 'x'
run 2 verify store
expect_in err 'checksum'
run 2 verify --json store
expect_in out '"is":"corrupt"'
run 1 salvage store salvaged
[ ! -e salvaged ] || fail "a copy without a manifest"

# ---- files that are not there ----

# last_used DIR: the last journal file of shard 1 that has been begun.
last_used() {
    run 0 verify "$1"
    sed -n '/ empty /d; s/^\(0001-0001-[0-9]*\.journal\) .*/\1/p' out | tail -n 1
}

# A store that a host has opened twice and closed in order.
rm -rf whole whole.acks
run 0 stress --durable whole --shards 2 --tasks 50 --producers 1 --no-pin --steps 200
first_epoch=$(last_used whole)
run 0 stress --resume whole --producers 1 --no-pin --steps 200
second_epoch=$(last_used whole)

# missing WORDS FILE...: without these files of the whole store verify finds it corrupt and says so, opening
# refuses it, and neither changes it.
missing() {
    local words=$1
    shift
    rm -rf store store.acks
    cp -r whole store
    cp whole.acks store.acks
    (cd store && rm "$@")
    (cd store && cksum ./*) >before
    run 2 verify store
    expect_in out "$words"
    expect_in out '^store: corrupt$'
    run 2 verify --json store
    expect_in out "$words"
    run 1 stress --resume store --producers 1 --no-pin --steps 1
    same_as_before "what refuses it"
}
(cd whole && printf '%s\n' 0001-0001-*.journal) >names
mapfile -t journal <names
mapfile -t later < <(sed "0,/^$first_epoch\$/d" names)
missing 'shard 1: its journal is missing, which each shard of set 1 has begun' "${journal[@]}"
missing 'shard 1: the next file of its journal is number .* files in between are missing' \
    "$second_epoch"
missing 'shard 1: its journal ends in epoch 1, but epoch 2 was closed in order' "${later[@]}"

# The manifest of before, though journals of a later set are there.
rm -rf store store.acks
cp -r whole store
cp whole.acks store.acks
run 0 stress --resume store --shards 3 --producers 1 --no-pin --steps 1
cp whole/manifest store/manifest
(cd store && cksum ./*) >before
run 2 verify store
expect_in out 'there are journals of set 2, but the manifest only knows of set 1'
run 1 stress --resume store --producers 1 --no-pin --steps 1
same_as_before "what refuses it"

# One that another process has open is left alone with this: its files come and go.
if command -v flock >/dev/null && [ -r /proc/locks ]; then
    rm -rf store
    cp -r whole store
    (cd store && rm "${journal[@]}")
    code=0
    flock store/lock "$PAWL" verify store >out 2>err </dev/null || code=$?
    [ "$code" -eq 0 ] || fail "verify of a store in use exits $code: $(cat out err)"
fi

# ---- in use ----

fresh
run 0 verify store
expect_in out 'not closed in order$'
: >store/lock
if command -v flock >/dev/null && [ -r /proc/locks ]; then
    code=0
    flock store/lock "$PAWL" verify store >out 2>err </dev/null || code=$?
    [ "$code" -eq 0 ] || fail "verify of a store in use exits $code: $(cat out err)"
    expect_in out 'open in a process now$'
fi

# While it is written, as fast as a host can: whatever is half there is nothing wrong.
"$PAWL" stress --durable busy --shards 2 --tasks 300 --producers 2 --no-pin --seconds 100 >/dev/null 2>&1 &
child=$!
until [ -s busy/manifest ]; do
    kill -0 "$child" || fail "nothing is written"
    sleep 0.01
done
for _ in 1 2 3 4 5 6 7 8 9 10; do
    code=0
    "$PAWL" verify busy >out 2>err </dev/null || code=$?
    [ "$code" -le 1 ] || fail "verify of a store that is written exits $code"
    expect_in out 'open in a process now$'
done
kill -KILL "$child"
wait "$child" 2>/dev/null || true
child=

# ---- no store, wrong usage ----

run 3 verify nothing
expect_in err 'no store'
run 3 verify
run 3 verify --colour store
run 1 export nothing
run 2 export
run 2 import a b
run 2 history store
run 2 history store notanid
run 2 salvage store
for command in verify history export import salvage; do
    run 0 "$command" --help
    expect_in out "^usage: pawl $command "
    run 0 "$command" --version
    expect_in out "^pawl $command (Pawl) [0-9]"
done

holds='whole, torn, corrupt and imported stores behave as they should'
finish

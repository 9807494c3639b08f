#!/usr/bin/env bash
# topo.sh - what `pawl topo` prints, its JSON, and its exit codes. $PAWL is the command.
set -u

: "${PAWL:?set PAWL to the pawl command}"
export LC_ALL=C.UTF-8
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
failures=0

fail() {
    printf 'FAIL: %s\n' "$*" >&2
    sed 's/^/  | /' "$scratch/out" "$scratch/err" >&2
    failures=$((failures + 1))
}

# run STATUS ARGUMENT...: runs `pawl topo` and checks its exit status and where it speaks.
run() {
    local wanted=$1
    shift
    "$PAWL" topo "$@" >"$scratch/out" 2>"$scratch/err"
    local status=$?
    [ "$status" -eq "$wanted" ] || fail "topo $*: exit status $status, not $wanted"
    if [ "$wanted" -eq 0 ]; then
        [ ! -s "$scratch/err" ] || fail "topo $*: succeeds and complains"
    else
        [ -s "$scratch/err" ] || fail "topo $*: fails without a word"
        [ ! -s "$scratch/out" ] || fail "topo $*: fails and prints a plan"
    fi
}

# says TEXT, complains TEXT: the last run printed this, as it stands.
says() {
    grep -qF -- "$1" "$scratch/out" || fail "no \"$1\" in the output"
}

complains() {
    grep -qF -- "$1" "$scratch/err" || fail "no \"$1\" in the error message"
}

# count NUMBER TEXT: the last run's output has this text so many times.
count() {
    local found
    found=$(grep -oF -- "$2" "$scratch/out" | grep -c .)
    [ "$found" -eq "$1" ] || fail "\"$2\" is there $found times, not $1"
}

two_sockets="pack:2 numa:1 l3:8 core:8 pu:1"
siblings="pack:1 l3:2 core:4 pu:2"

# This machine, whatever it is.
run 0
says "shard 0: cpu "
says "monitor: "
says "I/O thread 0: "
says "package 0"
run 0 --json
says '"source":"machine"'
says '{"shard":0,"cpu":'

# Two sockets of 64 cores: one core is left for housekeeping, and the drawing fits 100 columns.
run 0 --synthetic "$two_sockets"
says "127 shards, 1 monitor, 1 I/O thread on 128 cpus: 2 packages, 2 NUMA nodes, 16 L3 groups, 128 cores"
says "shard 126: cpu 126 (core 126, L3 15, node 1, package 1)"
says "monitor: cpu 127 "
sed -n '/^┌/,$p' "$scratch/out" >"$scratch/drawing"
[ -s "$scratch/drawing" ] || fail "there is no drawing"
! grep -qE '^.{101}' "$scratch/drawing" || fail "the drawing is wider than 100 columns"

run 0 --synthetic "$two_sockets" --json
says '{"topology":{"source":"synthetic","name":"pack:2 numa:1 l3:8 core:8 pu:1","packages":2,"nodes":2,"l3_groups":16,"cores":128,"cpus":128,"kinds":1,"smt":false},"shards":['
count 127 '"shard":'
count 127 '"why":"core"'
count 2 '"why":"housekeeping","cpus":[127]'
says '"monitor":{"why":'
says '"io":[{"io":0,'
[ "$(grep -c '' "$scratch/out")" -eq 1 ] || fail "JSON is one line"

# SMT: the others go to siblings.
run 0 -s "$siblings" -i 2
says "8 shards, 1 monitor, 2 I/O threads on 16 cpus"
says "monitor: cpu 15 (core 7, L3 1, node 0, package 0): SMT sibling of shard 7"
says "I/O thread 0: cpu 1 (core 0, L3 0, node 0, package 0): SMT sibling of shard 0"
says "I/O thread 1: cpu 9 (core 4, L3 1, node 0, package 0): SMT sibling of shard 4"
run 0 -s "$siblings" --shards 12 --json
count 6 '"why":"sibling"'
count 0 '"oversubscribed":true'
count 8 '"shares_core":true,"oversubscribed":false'

# More shards than cpus.
run 0 -s "core:2 pu:1" --shards 5 --json
count 5 '"oversubscribed":true'
count 3 '"why":"shared"'
says '"monitor":{"why":"floating","cpus":[0,1],"core":null'
run 0 -s "pu:1" --shards 1024 --io-threads 0 --json
count 1024 '"shard":'
says '"io":[]}'

# Within the affinity mask.
if command -v taskset >/dev/null; then
    allowed=$(taskset -cp $$ | sed 's/.*: //; s/[-,].*//')
    taskset -c "$allowed" "$PAWL" topo --json >"$scratch/out" 2>"$scratch/err" ||
        fail "topo fails on one cpu"
    says '"cpus":1,'
    says "{\"shard\":0,\"cpu\":$allowed,"
fi

# Wrong usage is 2, a machine that cannot be read is 1; both say what to do.
for shards in 0 1025 -1 x 3x ""; do
    run 2 --shards "$shards"
    complains "pawl topo: --shards wants a whole number from 1 to 1024"
    complains "not '$shards'"
done
run 2 --io-threads 1025
complains "--io-threads wants"
run 2 --nonsense
complains "--nonsense"
run 2 --synthetic
run 2 "pack:2" core:4
complains "unexpected argument 'pack:2'"
run 2 --synthetic "pu:1" --xml "$scratch/none.xml"
complains "exclude each other"
run 1 --synthetic "zork:2"
complains "cannot read the synthetic description 'zork:2': it makes no sense"
run 1 --xml "$scratch/none.xml"
complains "cannot read the topology in '$scratch/none.xml': No such file or directory"
echo "no topology" >"$scratch/bad.xml"
run 1 --xml "$scratch/bad.xml"
complains "it is not a topology"
if [ -c /dev/full ]; then
    "$PAWL" topo >/dev/full 2>"$scratch/err"
    [ $? -eq 1 ] || fail "a full disk goes unnoticed"
    complains "cannot write"
fi

# A name in JSON is escaped.
cat >"$scratch/a\"b\\c.xml" <<'XML'
<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE topology SYSTEM "hwloc2.dtd">
<topology version="2.0">
  <object type="Machine" os_index="0" cpuset="0x1" complete_cpuset="0x1" allowed_cpuset="0x1" nodeset="0x1" complete_nodeset="0x1" allowed_nodeset="0x1" gp_index="1">
    <object type="NUMANode" os_index="0" cpuset="0x1" complete_cpuset="0x1" nodeset="0x1" complete_nodeset="0x1" gp_index="2" local_memory="1048576"/>
    <object type="Core" os_index="0" cpuset="0x1" complete_cpuset="0x1" nodeset="0x1" complete_nodeset="0x1" gp_index="3">
      <object type="PU" os_index="0" cpuset="0x1" complete_cpuset="0x1" nodeset="0x1" complete_nodeset="0x1" gp_index="4"/>
    </object>
  </object>
</topology>
XML
run 0 --xml "$scratch/a\"b\\c.xml" --json
says 'a\"b\\c.xml","packages":1,'

run 0 --help
says "Usage: pawl topo"
says "--synthetic SPEC"
run 0 --version
grep -qE '^pawl topo .*[0-9]+\.[0-9]+\.[0-9]+' "$scratch/out" || fail "no version"

[ "$failures" -eq 0 ] || exit 1
echo "topo: all as it should be"

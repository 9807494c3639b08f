#!/usr/bin/env bash
# topo.sh - what `pawl topo` prints, its JSON, and its exit codes. $PAWL is the command.
# shellcheck source-path=SCRIPTDIR source=lib.bash
. "${BASH_SOURCE[0]%/*}/lib.bash"
verb=topo
patterns=-F

# ok ARGUMENT..., bad CODE ARGUMENT...: and speaks on standard output alone, on standard error alone.
ok() {
    run 0 "$@"
    [ ! -s err ] || fail "succeeds and complains"
}

bad() {
    run "$@"
    [ -s err ] || fail "fails without a word"
    [ ! -s out ] || fail "fails and prints a plan"
}

# count NUMBER TEXT: the last run's output has this text so many times.
count() {
    local found
    found=$(grep -oF -- "$2" out | grep -c .)
    [ "$found" -eq "$1" ] || fail "\"$2\" is there $found times, not $1"
}

two_sockets="pack:2 numa:1 l3:8 core:8 pu:1"
siblings="pack:1 l3:2 core:4 pu:2"

# This machine, whatever it is.
ok
says "shard 0: cpu "
says "monitor: "
says "I/O thread 0: "
says "package 0"
ok --json
says '"source":"machine"'
says '{"shard":0,"cpu":'

# Two sockets of 64 cores: one core is left for housekeeping, and the drawing fits 100 columns.
ok --synthetic "$two_sockets"
says "127 shards, 1 monitor, 1 I/O thread on 128 cpus: 2 packages, 2 NUMA nodes, 16 L3 groups, 128 cores"
says "shard 126: cpu 126 (core 126, L3 15, node 1, package 1)"
says "monitor: cpu 127 "
sed -n '/^┌/,$p' out >drawing
[ -s drawing ] || fail "there is no drawing"
! grep -qE '^.{101}' drawing || fail "the drawing is wider than 100 columns"

ok --synthetic "$two_sockets" --json
says '{"topology":{"source":"synthetic","name":"pack:2 numa:1 l3:8 core:8 pu:1","packages":2,"nodes":2,"l3_groups":16,"cores":128,"cpus":128,"kinds":1,"smt":false},"shards":['
count 127 '"shard":'
count 127 '"why":"core"'
count 2 '"why":"housekeeping","cpus":[127]'
says '"monitor":{"why":'
says '"io":[{"io":0,'
[ "$(grep -c '' out)" -eq 1 ] || fail "JSON is one line"

# SMT: the others go to siblings.
ok -s "$siblings" -i 2
says "8 shards, 1 monitor, 2 I/O threads on 16 cpus"
says "monitor: cpu 15 (core 7, L3 1, node 0, package 0): SMT sibling of shard 7"
says "I/O thread 0: cpu 1 (core 0, L3 0, node 0, package 0): SMT sibling of shard 0"
says "I/O thread 1: cpu 9 (core 4, L3 1, node 0, package 0): SMT sibling of shard 4"
ok -s "$siblings" --shards 12 --json
count 6 '"why":"sibling"'
count 0 '"oversubscribed":true'
count 8 '"shares_core":true,"oversubscribed":false'

# More shards than cpus.
ok -s "core:2 pu:1" --shards 5 --json
count 5 '"oversubscribed":true'
count 3 '"why":"shared"'
says '"monitor":{"why":"floating","cpus":[0,1],"core":null'
ok -s "pu:1" --shards 1024 --io-threads 0 --json
count 1024 '"shard":'
says '"io":[]}'

# Within the affinity mask.
if command -v taskset >/dev/null; then
    allowed=$(taskset -cp $$ | sed 's/.*: //; s/[-,].*//')
    taskset -c "$allowed" "$PAWL" topo --json >out 2>err ||
        fail "topo fails on one cpu"
    says '"cpus":1,'
    says "{\"shard\":0,\"cpu\":$allowed,"
fi

# Wrong usage is 2, a machine that cannot be read is 1; both say what to do.
for shards in 0 1025 -1 x 3x ""; do
    bad 2 --shards "$shards"
    complains "pawl topo: --shards wants a whole number from 1 to 1024"
    complains "not '$shards'"
done
bad 2 --io-threads 1025
complains "--io-threads wants"
bad 2 --nonsense
complains "--nonsense"
bad 2 --synthetic
bad 2 "pack:2" core:4
complains "unexpected argument 'pack:2'"
bad 2 --synthetic "pu:1" --xml none.xml
complains "exclude each other"
bad 1 --synthetic "zork:2"
complains "cannot read the synthetic description 'zork:2': it makes no sense"
bad 1 --xml none.xml
complains "cannot read the topology in 'none.xml': No such file or directory"
echo "no topology" >bad.xml
bad 1 --xml bad.xml
complains "it is not a topology"
if [ -c /dev/full ]; then
    "$PAWL" topo >/dev/full 2>err
    [ $? -eq 1 ] || fail "a full disk goes unnoticed"
    complains "cannot write"
fi

# A name in JSON is escaped.
cat >'a"b\c.xml' <<'XML'
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
ok --xml 'a"b\c.xml' --json
says 'a\"b\\c.xml","packages":1,'

ok --help
says "Usage: pawl topo"
says "--synthetic SPEC"
ok --version
grep -qE '^pawl topo .*[0-9]+\.[0-9]+\.[0-9]+' out || fail "no version"

finish

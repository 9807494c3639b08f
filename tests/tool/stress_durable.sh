#!/usr/bin/env bash
# stress_durable.sh - `pawl stress --durable` is killed at random moments, and --resume finds all that was
# acknowledged: sync and async, one shard, three, and another number each time; `pawl verify` finds nothing
# corrupt in between. Faults planted in the tool's own log, tasks and senders are found and named.
#
# $PAWL is the command. $ROUNDS kills of each kind (10); $SEED decides when they come (printed).
# shellcheck source-path=SCRIPTDIR source=lib.bash
. "${BASH_SOURCE[0]%/*}/lib.bash"
verb=stress
rounds=${ROUNDS:-10}
seed=${SEED:-$((RANDOM % 32768))}
RANDOM=$seed
printf 'seed %s\n' "$seed"
small=(--tasks 300 --producers 2 --no-pin)

# Between 0.00 and 0.59 s: a third of them within recovery or the creation of the accounts.
moment() {
    printf '0.%d%d' $((RANDOM % 6)) $((RANDOM % 10))
}

# Verify may find a torn tail (1); nothing worse.
verified() {
    local status=0
    "$PAWL" verify "$1" >out 2>err || status=$?
    [ "$status" -le 1 ] || fail "verify says $status"
}

# shards_of WHICH: how many the next run is to have, as options.
shards_of() {
    [ "$1" = any ] && printf -- '--shards %d' $((RANDOM % 4 + 1))
}

# rounds MODE SHARDS: a run, killed; then by turns one that is killed and one that comes to its end.
rounds() {
    local mode=$1 shards=$2 store=$1.$2 round first=$2 failed=$failures
    local -a options
    [ "$shards" = any ] && first=2
    waits_for=$store.acks
    # The first one lives long enough to have something to lose.
    killed 1 --durable "$store" "--$mode" --shards "$first" "${small[@]}" --seconds 100
    for ((round = 1; round <= rounds && failures == failed; round++)); do
        read -ra options <<<"$(shards_of "$shards")"
        killed "$(moment)" --resume "$store" "${options[@]}" --producers 2 --no-pin --seconds 100
        verified "$store"
        [ $((round % 2)) -eq 0 ] || continue
        read -ra options <<<"$(shards_of "$shards")"
        run 0 --resume "$store" "${options[@]}" --producers 3 --no-pin --steps 2000 --json
        clean
        is resumed true
        is durability "\"$mode\""
        some recovered_tasks
        some checked
        some acknowledged
        is accounts 300
        is tokens_made 30000
        [ "$mode" = async ] || is tokens 30000
        [ "$mode" = async ] || is lost_in_window 0
        complains 'recovered [0-9]+ tasks on [0-9]+ shards? in [0-9.]+ s'
    done
    [ "$failures" -eq "$failed" ] || return
    # After an end in order nothing is lost, whatever the window.
    run 0 --resume "$store" --steps 1 --json
    clean
    run 0 --resume "$store" --steps 1 --json
    clean
    is lost_in_window 0
    run 0 --resume "$store" --steps 1
    tail -n 1 out | grep -q '^kept .* lost 0, duplicated 0' || fail "the last line is no verdict"
    verified "$store"
    rm -rf "$store" "$store.acks"
}

for mode in sync async; do
    for shards in 1 3 any; do
        rounds "$mode" "$shards"
    done
done

# The same store on other numbers of shards, again and again: ids of tasks that moved go on to mean them.
run 0 --durable moved --shards 3 "${small[@]}" --steps 5000
for shards in 1 3 1 3 2 1 4; do
    run 0 --resume moved --shards "$shards" --no-pin --steps 5000 --json
    clean
    is shards "$shards"
    [ "$(value kept)" = true ] || break
done
verified moved
rm -rf moved moved.acks

# The log where it is asked for; steps end the run.
run 0 --durable named --ack elsewhere --steps 500 --shards 1 "${small[@]}" --seed 5 --json
clean
is seed 5
is resumed false
some journal_bytes
[ -f elsewhere ] || fail "no log where it was asked for"
[ ! -e named.acks ] || fail "two logs"
run 1 --resume named
complains 'no acknowledgement log named.acks'
run 1 --durable named "${small[@]}"
complains 'is there already: go on with it by --resume'

# A log that was cut in the middle of a record, or has a stretch of rubbish: what is whole counts.
cp elsewhere whole
printf 'rubbish' >>elsewhere
run 0 --resume named --ack elsewhere --steps 100 --json
clean
is log_torn 1
head -c 50 whole >elsewhere
run 1 --resume named --ack elsewhere
complains 'is no acknowledgement log'

# A store that is behind its log, as if a disk had lost writes: found, and both are left as they are.
run 0 --durable store --steps 2000 --shards 1 "${small[@]}"
cp -r store older
run 0 --resume store --steps 2000
rm -rf store
mv older store
cp store.acks before
run 1 --resume store
complains 'lost: order [0-9]+ of account [0-9]+ .* was acknowledged, and the store has only [0-9]+'
complains 'do not agree, and are left as they are'
tail -n 1 out | grep -q '^VIOLATED' || fail "the last line is no verdict"
cmp -s before store.acks || fail "the log was changed"
rm -rf store store.acks

# Each planted fault ends in exit status 1 and is named.
plant() {
    local mode
    for mode in sync async; do
        rm -rf plant plant.acks
        run 1 --durable plant "--$mode" --plant "$1" --steps 3000 --shards 2 --tasks 200 --settle 1
        complains "$2"
        tail -n 1 out | grep -q '^VIOLATED' || fail "the last line is no verdict"
    done
}
plant lose 'lost: account [0-9]+ .* has handled [0-9]+ orders, and the log has [0-9]+'
plant double 'duplicated: order [0-9]+ of account [0-9]+ .* came again'
plant reorder 'misordered: an order of account [0-9]+ .* came before its turn'
plant tear 'torn: .* a context that no step committed'
plant chain 'lost: the accounts began with 20000 tokens, and now there are 199[0-9]+'
plant timer 'lost: [0-9]+ tasks still wait for a timer'
plant contradict 'contradicted: guest [0-9]+, visit [0-9]+: the log says otherwise'
plant completion 'misordered: account [0-9]+: order [0-9]+ was acknowledged behind [0-9]+'

# Wrong command lines: exit status 2, a message, and nothing is run.
unmade() {
    wrong "$@"
    [ ! -e d ] || fail "wrong, and there is a store"
}
unmade --durable
unmade --durable ''
unmade --durable d --resume d
unmade --durable d --sync --async
unmade --durable d --steps 0 --seconds 0
unmade --durable d --events 5
unmade --durable d --drive host
unmade --durable d --ack ''
unmade --resume d --seed 3
unmade --resume d --tasks 3
unmade --resume d --async
unmade --sync
unmade --steps 5
unmade --ack d

finish

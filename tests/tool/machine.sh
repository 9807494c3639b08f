#!/usr/bin/env bash
#
# pawl machine: every machine of the list compiles and can be drawn, and wrong usage is told apart.
#
# Needs $PAWL (the command). Uses graphviz's dot where there is one.
# shellcheck source-path=SCRIPTDIR source=lib.bash
. "${BASH_SOURCE[0]%/*}/lib.bash" stop
verb=machine

# ---- every machine ----

run 0 list
mapfile -t names < <(awk '{print $1}' out)
[ "${#names[@]}" -ge 5 ] || fail "only ${#names[@]} machines are listed"
for name in "${names[@]}"; do
    run 0 check "$name"
    expect_in out "^$name: sound, errors 0, warnings [0-9]*\$"
    expect_in out '^  states  *[1-9][0-9]*$'
    expect_in out '^  events  *[1-9][0-9]*$'
    expect_in out '^  transitions  *[1-9][0-9]*$'
    expect_in out '^  context  *[0-9]* bytes$'
    expect_in out '^  hash  *[0-9a-f]\{16\}$'
    [ ! -s err ] || fail "check $name complains: $(cat err)"
    hash=$(sed -n 's/^  hash *//p' out)
    run 0 check "$name"
    [ "$hash" = "$(sed -n 's/^  hash *//p' out)" ] || fail "the hash of $name is not stable"
    run 0 dot "$name"
    [ "$(head -n 1 out)" = "digraph \"$name\" {" ] || fail "dot $name begins with: $(head -n 1 out)"
    [ "$(tail -n 1 out)" = "}" ] || fail "dot $name ends with: $(tail -n 1 out)"
    if command -v dot >/dev/null; then
        dot -Tcanon out >drawn 2>dot_err || fail "graphviz cannot read $name: $(cat dot_err)"
        [ ! -s dot_err ] || fail "graphviz complains of $name: $(cat dot_err)"
    fi
    run 0 mermaid "$name"
    expect_in out '^stateDiagram-v2$'
    expect_in out '^    \[\*\] --> s[0-9]*$'
done

# ---- what a drawing shows ----

run 0 dot door
expect_in out 'label="H", shape=circle'
expect_in out 'after 30 s / ajar'
expect_in out 'label="lock \[guard\]"'
run 0 dot call
expect_in out 'label="over", shape=doublecircle'
expect_in out 'message / defer'
run 0 mermaid call
expect_in out 's4 --> \[\*\]'
run 0 check turnstile
expect_in out "^warning: machine 'turnstile', state 0 (locked): a task may wait here for ever"

# ---- wrong usage ----

run 2
run 2 check
run 2 check door extra
run 2 list door
run 2 paint door
run 2 check --colour door
run 2 check nosuch
expect_in err "no machine 'nosuch'"
expect_in err '^  turnstile '
run 0 --help
expect_in out '^usage: pawl machine check NAME'
run 0 --version
expect_in out 'pawl machine (Pawl) [0-9]'

holds="${#names[@]} machines checked and drawn"
finish

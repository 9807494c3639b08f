#!/usr/bin/env bash
# gate.sh - bench/gate can fail: against a baseline that is doctored it says what it must, and every
# kernel of pawl_gate does its work. $PAWL_SOURCE is the source tree, $PAWL_BUILD the build's.
#
# Whether the real baseline holds is not asked here: tools/check does, in a stage of its own.
set -u

: "${PAWL_SOURCE:?set PAWL_SOURCE to the source tree}"
: "${PAWL_BUILD:?set PAWL_BUILD to the tree of the build}"
export LC_ALL=C.UTF-8
gate=$PAWL_SOURCE/bench/gate
program=$PAWL_BUILD/bench/pawl_gate
for needed in valgrind "$program"; do
    command -v "$needed" >/dev/null || {
        echo "gate.sh: there is no $needed"
        exit 77
    }
done
# An older valgrind cannot read what a newer compiler says for debuggers.
valgrind -q --tool=none "$program" --list >/dev/null 2>&1 || {
    echo "gate.sh: valgrind cannot run $program"
    exit 77
}
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
export PAWL_GATE_BASELINE=$scratch/baseline
failures=0
last=
quick=ring-push-pop-b1 # two kernels that take little time
other=table-get

fail() {
    printf 'FAIL: gate %s: %s\n' "$last" "$*" >&2
    sed 's/^/  | /' "$scratch/out" "$scratch/err" >&2
    failures=$((failures + 1))
}

# run STATUS ARGUMENT...: runs bench/gate on the build and checks its exit status.
run() {
    run_on "$PAWL_BUILD" "$@"
}

run_on() {
    local build=$1 wanted=$2 status=0
    shift 2
    last=$*
    "$gate" "$build" "$@" >"$scratch/out" 2>"$scratch/err" || status=$?
    [ "$status" -eq "$wanted" ] || fail "exit status $status, not $wanted"
}

says() {
    grep -qE -- "$1" "$scratch/out" || fail "no \"$1\" in what it prints"
}

silent() {
    ! grep -qE -- "$1" "$scratch/out" || fail "\"$1\" in what it prints"
}

complains() {
    grep -qE -- "$1" "$scratch/err" || fail "no \"$1\" on standard error"
}

# doctor FACTOR: what the baseline says of $quick, times this.
doctor() {
    awk -v kernel="$quick" -v factor="$1" '$1 == kernel { $2 = $2 * factor } { print }' \
        "$scratch/true" >"$scratch/baseline"
}

line_of() { # KERNEL
    sed -n "s/^$1  *//p" "$scratch/baseline"
}

# Each kernel checks its own work.
for kernel in $("$program" --list); do
    "$program" "$kernel" >"$scratch/out" 2>"$scratch/err" || fail "kernel $kernel fails"
    says '^operations [1-9][0-9]*$'
done
"$program" no-such-kernel >"$scratch/out" 2>"$scratch/err" && fail "there is a kernel no-such-kernel"

# A baseline made here holds here, and again.
run 1 "$quick"
complains 'there is no baseline'
run 0 --update "made for a test" "$quick" "$other"
[ "$(sed -n 's/^# toolchain: //p' "$scratch/baseline")" = "$("$program" --toolchain)" ] ||
    fail "the baseline does not name the toolchain"
[[ $(line_of "$quick") =~ ^[1-9][0-9.]*\ +[0-9-]{10}\ made\ for\ a\ test$ ]] ||
    fail "the line of $quick is '$(line_of "$quick")'"
cp "$scratch/baseline" "$scratch/true"
run 0 "$quick" "$other"
says "^$quick .* \+0\.00%$"
says '^gate: 2 kernels, 0 failed$'
silent 'FAIL|better'

# More instructions than the baseline has: a failure that names the kernel, both figures and the way out.
doctor 0.9
run 1 "$quick" "$other"
says "^$quick .* \+11\.[0-9]+%  FAIL: [0-9.]+ -> [0-9.]+ instructions"
says 'change the baseline in the same commit'
says '^gate: 2 kernels, 1 failed$'
doctor 0.98
run 0 "$quick"
says ' \+2\.[0-9]+%$'

# Fewer: no failure, but a word.
doctor 1.2
run 0 "$quick" "$other"
says "^$quick .* -16\.[0-9]+%  better: lower the baseline$"
says '^gate: 2 kernels, 0 failed$'

# --update writes what has changed, with its reason, and leaves the rest; or what is named.
doctor 1.2
run 0 --update "lowered for a test" "$quick"
[[ $(line_of "$quick") == *lowered* ]] || fail "the line of $quick is '$(line_of "$quick")'"
[ "$(line_of "$other")" = "$(sed -n "s/^$other  *//p" "$scratch/true")" ] ||
    fail "the line of $other has changed"
run 0 "$quick" "$other"
silent 'better'

# Lines and kernels must be the same.
sed "/^$quick /d" "$scratch/true" >"$scratch/baseline"
run 1 "$quick" "$other"
says "^$quick .*FAIL: no line in the baseline"
says '^gate: 2 kernels, 1 failed$'
{ cat "$scratch/true" && echo "no-such-kernel 10 2026-01-01 doctored"; } >"$scratch/baseline"
run 1 "$quick"
says '^no-such-kernel .*FAIL: there is no such kernel'
{ cat "$scratch/true" && echo "$quick 10 2026-01-01 doctored"; } >"$scratch/baseline"
run 1 "$quick"
complains "two lines for $quick"
echo "$other many 2026-01-01 doctored" >>"$scratch/true"
sed "/^$other [0-9 ]/d" "$scratch/true" >"$scratch/baseline"
run 1 "$quick"
complains 'has no figure'

# What cannot be compared is not compared.
sed 's/^# toolchain: .*/# toolchain: another one/' "$scratch/true" >"$scratch/baseline"
run 77 "$quick"
complains "the baseline is for 'another one'"
run_on "$scratch" 77 "$quick"
complains 'there is no .*/bench/pawl_gate'

# A program in which nothing is counted has not passed.
mkdir "$scratch/bench"
cat >"$scratch/bench/pawl_gate" <<'END'
#!/bin/sh
case $1 in
--list) echo nothing ;;
--toolchain) echo none ;;
*) echo "operations 10" ;;
esac
END
chmod +x "$scratch/bench/pawl_gate"
printf '# toolchain: none\nnothing 1 2026-01-01 doctored\n' >"$scratch/baseline"
run_on "$scratch" 1
says '^nothing .*FAIL: it did not run'
run_on "$scratch" 1 --update "for a test"
says 'the baseline is left as it was'

# Wrong usage.
run 2 no-such-kernel
complains "there is no kernel 'no-such-kernel'"
run 2 --update
run 2 --update "$quick"
complains 'is a kernel, not a reason'
last='without arguments'
"$gate" >"$scratch/out" 2>"$scratch/err"
[ $? -eq 2 ] || fail "is not wrong usage"

[ "$failures" -eq 0 ] || exit 1
echo "gate: all as it should be"

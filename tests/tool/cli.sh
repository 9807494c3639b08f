#!/usr/bin/env bash
# cli.sh - what all commands have in common: help, version, exit codes, and where they speak. $PAWL is
# the command.
# shellcheck source-path=SCRIPTDIR source=lib.bash
. "${BASH_SOURCE[0]%/*}/lib.bash"
commands='topo stress replay machine verify history export import salvage inspect sim'

# speaks CODE ARGUMENT...: 0 on standard output alone, all else on standard error alone.
speaks() {
    run "$@"
    if [ "$1" -eq 0 ]; then
        [ -s out ] || fail "succeeds and says nothing"
        [ ! -s err ] || fail "succeeds and complains"
    else
        [ -s err ] || fail "fails without a word"
        [ ! -s out ] || fail "fails and prints something"
    fi
}

version=$("$PAWL" --version | sed -n 's/^pawl (Pawl) \([0-9.]*\)$/\1/p')
[ -n "$version" ] || fail "pawl --version does not say its version"

for word in --help -h help; do
    speaks 0 "$word"
    for command in $commands; do
        says "^  $command +[a-z]"
    done
done
speaks 0 -V
says "^pawl \(Pawl\) $version\$"

# Without a command, or with one that is not there: the list, and 2.
speaks 2
complains '^usage: pawl '
speaks 2 stres
complains "there is no command 'stres'"
for command in $commands; do
    complains "^  $command +[a-z]"
done
speaks 2 ''
speaks 2 --no-such-option

for command in $commands; do
    speaks 0 "$command" --help
    says "^[Uu]sage: pawl $command"
    says '--version'
    speaks 0 "$command" --version
    says "^pawl $command .*$version"
    usage=2
    [ "$command" != verify ] || usage=3 # its 1 and 2 speak of the store
    speaks $usage "$command" --no-such-option
    complains "^pawl $command: "
    complains "pawl $command --help"
done

# What cannot be written has not been done.
if [ -w /dev/full ]; then
    "$PAWL" --help >/dev/full 2>err
    [ $? -eq 1 ] || fail "a full disk looks like success"
    complains 'cannot write'
fi

finish

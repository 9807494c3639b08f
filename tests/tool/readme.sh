#!/usr/bin/env bash
# The README's first program is tests/examples/first.c, which is compiled and run as a test of its own.
set -euo pipefail
cd -- "${PAWL_SOURCE:?is not set: the folder of the sources}"
if ! diff <(awk '/^```c$/ { on = 1; next } /^```$/ { if (on) exit } on' README.md) tests/examples/first.c; then
    echo "readme.sh: the first program in README.md is not tests/examples/first.c: copy the one into the other" >&2
    exit 1
fi
for file in tools/quickstart tools/check tests/examples/host_loop.c tests/examples/keys.cc; do
    [ -e "$file" ] || { echo "readme.sh: README.md names $file, which is not there" >&2; exit 1; }
done
echo "README.md: its program is the one that is tested"

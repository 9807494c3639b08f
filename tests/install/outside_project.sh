#!/usr/bin/env bash
# Installs a build into a fresh place, moves it, and uses it as a stranger would: from a C and a C++
# project by find_package and by pkg-config, against the shared and the static library. The programs
# are main.c, main.cc and every example of tests/examples.
#
#   outside_project.sh BUILD_DIR SOURCE_DIR     (from the environment: CMAKE, CC, CXX)
set -euo pipefail

build=$1
source=$2
cmake=${CMAKE:-cmake}
export CC=${CC:-cc}
# The C++ compiler of the same family, unless told.
case "${CXX:-}:$(basename "$CC")" in
:clang*) CXX=$(dirname "$(command -v "$CC")")/$(basename "$CC" | sed 's/^clang/clang++/') ;;
:*) CXX=c++ ;;
esac
export CXX
here=$source/tests/install

top=$(mktemp -d "${TMPDIR:-/tmp}/pawl-install.XXXXXX")
trap 'rm -rf "$top"' EXIT

say() { printf -- '-- %s\n' "$*"; }
die() {
    printf 'install: %s\n' "$*" >&2
    exit 1
}

say "install into a prefix, as an ordinary user would, then move it"
"$cmake" --install "$build" --prefix "$top/first" >"$top/install.log" || {
    cat "$top/install.log"
    die "cmake --install failed"
}
mv "$top/first" "$top/prefix"
prefix=$top/prefix

only() { # the one path that matches; more or none is an error
    local found
    found=$(find "$prefix" -path "$prefix/$1" | sort)
    [ "$(printf '%s' "$found" | grep -c '')" = 1 ] ||
        die "expected exactly one $1 under the prefix, found: ${found:-none}"
    printf '%s' "$found"
}
shared=$(only '*/libpawl.so')
static=$(only '*/libpawl.a')
pc=$(dirname "$(only '*/pkgconfig/pawl.pc')")
only '*/pkgconfig/pawl-static.pc' >/dev/null
only '*/cmake/pawl/pawlConfig.cmake' >/dev/null
only 'include/pawl/pawl.h' >/dev/null
only '*/doc/pawl/LICENSE' >/dev/null
libdir=$(dirname "$shared")

say "the shared library exports the public interface and nothing else"
foreign=$(nm -D --defined-only "$shared" | awk '{print $NF}' | grep -vE '^pawl_[a-z0-9]' || true)
[ -z "$foreign" ] || die "libpawl.so exports what is not public: $(echo "$foreign" | tr '\n' ' ')
Mark public functions PAWL_API and compile everything with hidden visibility."
objdump -p "$shared" | grep -q 'NEEDED.*jemalloc' &&
    die "libpawl.so needs jemalloc: it would change its host's allocator. Do not link it."
readelf -d "$shared" | grep -q NODELETE ||
    die "libpawl.so lacks the nodelete flag: dlclose could unmap code that a thread still runs"

say "every public header stands alone, in C and in C++"
for header in "$prefix"/include/pawl/*.h; do
    echo "#include <pawl/$(basename "$header")>" >"$top/one.c"
    cp "$top/one.c" "$top/one.cc"
    "$CC" -std=c17 -Wall -Wextra -Werror -I"$prefix/include" -fsyntax-only "$top/one.c" ||
        die "$(basename "$header") does not compile alone in C"
    "$CXX" -std=c++17 -Wall -Wextra -Werror -I"$prefix/include" -fsyntax-only "$top/one.cc" ||
        die "$(basename "$header") does not compile alone in C++"
done

run() { # program and arguments; prints its output only if it fails
    "$@" >"$top/run.log" 2>&1 || {
        local status=$?
        cat "$top/run.log"
        die "$(basename "$1") failed with status $status"
    }
}

mapfile -t programs < <(find "$here" "$source/tests/examples" -name '*.c' -o -name '*.cc' | sort)

say "find_package: ${#programs[@]} programs, shared and static"
cp -r "$here" "$top/outside"
"$cmake" -S "$top/outside" -B "$top/outside-build" -DCMAKE_PREFIX_PATH="$prefix" \
    -DEXAMPLES="$source/tests/examples" >"$top/configure.log" 2>&1 || {
    cat "$top/configure.log"
    die "an outside project does not configure with find_package(pawl)"
}
"$cmake" --build "$top/outside-build" -j 2 >"$top/build.log" 2>&1 || {
    cat "$top/build.log"
    die "an outside project does not build with find_package(pawl)"
}
for program in "$top"/outside-build/bin/*; do
    run "$program"
done

say "pkg-config: the same programs, shared and static"
export PKG_CONFIG_PATH=$pc${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}
for module in pawl pawl-static; do
    read -ra flags < <(pkg-config --cflags --libs "$module")
    for file in "${programs[@]}"; do
        case $file in
        *.cc) compiler=("$CXX" -std=c++17) ;;
        *) compiler=("$CC" -std=gnu17) ;;
        esac
        "${compiler[@]}" -O1 "$file" -o "$top/program" "${flags[@]}" -pthread ||
            die "$(basename "$file") does not build with pkg-config $module"
        LD_LIBRARY_PATH=$libdir run "$top/program"
        needs=$(objdump -p "$top/program" | grep -c 'NEEDED.*libpawl' || true)
        case $module:$needs in
        pawl:1 | pawl-static:0) ;;
        *) die "pkg-config $module linked the other library (libpawl.so needed: $needs)" ;;
        esac
    done
done
[ -s "$static" ]

if [ -x "$prefix/bin/pawl" ]; then
    say "the tool runs from where it was moved, with its man page and completion"
    run "$prefix/bin/pawl" --version
    only '*/man/man1/pawl.1' >/dev/null
    bash -n "$(only '*/bash-completion/completions/pawl')"
fi
say "done"

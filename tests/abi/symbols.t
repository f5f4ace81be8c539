#!/bin/bash
# SPDX-License-Identifier: MIT
#
# This test will check that the library exports what tests/abi/symbols.list
# says and nothing else, that its header declares just that, and that it calls
# nothing that a library must not call.

# shellcheck source-path=SCRIPTDIR
# shellcheck disable=SC2317 # functions are called through check
. "$(dirname "$0")/tap.sh"
need_library

LIST=tests/abi/symbols.list
SHARED=$USERLIB/libnvmedmabuf.so
STATIC=$USERLIB/libnvmedmabuf.a
HEADER=userlib/include/nvmedmabuf.h

sed 's/@.*//' "$LIST" > "$TMP/names"

shared_exports() {
	LC_ALL=C nm -D --defined-only "$SHARED" | awk '$2 != "A" { print $3 }' |
		sort > "$TMP/shared"
	LC_ALL=C sort "$LIST" | same "$TMP/shared" -
}

static_exports() {
	LC_ALL=C nm -g --defined-only "$STATIC" | awk 'NF == 3 { print $3 }' |
		sort > "$TMP/static"
	LC_ALL=C sort "$TMP/names" | same "$TMP/static" -
}

header_declares() {
	grep -E '^[a-z]' "$HEADER" | grep -v '^static' |
		grep -oE '\bnvmedmabuf_[a-z0-9_]+\(' | tr -d '(' | sort > "$TMP/declared"
	sort "$TMP/names" | same "$TMP/declared" -
}

soname() {
	[ "$(objdump -p "$SHARED" | awk '$1 == "SONAME" { print $2 }')" = libnvmedmabuf.so.0 ]
}

# calls_none FILE NAME...: prints nothing, ends nothing, asks no environment
calls_none() {
	local file=$1 names
	shift
	names=$(nm --undefined-only "$file" | awk '{ sub(/@.*/, "", $NF); print $NF }')
	! grep -xE "$(IFS='|'; echo "$*")" <<<"$names"
}

# links COMPILER...: every name in the list can be linked to
links() {
	{
		echo '#include <nvmedmabuf.h>'
		echo 'void (*const all[])(void) = {'
		sed 's/.*/(void (*)(void))&,/' "$TMP/names"
		echo '}; int main(void) { return !all[0]; }'
	} > "$TMP/all.c"
	"$@" "$TMP/all.c" -Iuapi -Iuserlib/include -o "$TMP/all" -L"$USERLIB" -lnvmedmabuf &&
		LD_LIBRARY_PATH=$USERLIB "$TMP/all"
}

UNWANTED=('_*(v|f|d|vf|vd)?printf(_chk)?' 'puts' '_*perror' 'fput[cs]' 'fwrite' 'write'
	'(secure_)?getenv' '_*exit' 'abort' '__assert_fail' 'v?syslog' 'signal' 'sigaction'
	'system' 'fork' 'pthread_create' 'stdout' 'stderr' 'setlocale')
cat > "$TMP/unwanted.c" <<-'END'
	#include <stdio.h>
	#include <stdlib.h>
	void f(void) { puts(getenv("HOME")); }
END

check "the shared library exports the list" shared_exports
check "the static library exports the list" static_exports
check "the header declares the list" header_declares
check "the library is libnvmedmabuf.so.0" soname
check "C programs link to all of it" links "$CC" -x c -Wall -Wextra
check "C++ programs link to all of it" links "$CXX" -x c++ -Wall -Wextra
check "the library calls nothing unwanted" calls_none "$STATIC" "${UNWANTED[@]}"
check "a program that prints can be compiled" "$CC" -c "$TMP/unwanted.c" -o "$TMP/unwanted.o"
refuse "and would be noticed" calls_none "$TMP/unwanted.o" "${UNWANTED[@]}"

done_testing

# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# Sourced by the tests of this directory: TAP in a few lines. A test is a
# command; what it prints is shown if it fails.

set -u
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES V
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
USERLIB=${USERLIB:-$PWD/build/userlib}
CC=${CC:-cc}
CXX=${CXX:-c++}
TMP=$(mktemp -d) || exit 1
trap 'rm -rf "$TMP"' EXIT
tests=0
failures=0

# check NAME COMMAND...: the command must succeed
check() {
	local name=$1 output line
	shift
	tests=$((tests + 1))
	if output=$("$@" 2>&1); then
		echo "ok $tests - $name"
	else
		failures=$((failures + 1))
		echo "not ok $tests - $name"
		while IFS= read -r line; do
			echo "#   $line"
		done <<<"$output"
	fi
}

# refuse NAME COMMAND...: the command must fail
refuse() {
	local name=$1
	shift
	check "$name" fails "$@"
}

fails() {
	! "$@"
}

# skip NAME REASON
skip() {
	tests=$((tests + 1))
	echo "ok $tests - $1 # SKIP $2"
}

# same FILE FILE: shows the difference, < what is, > what should be
same() {
	diff "$1" "$2"
}

# need_library: without it there is nothing to test
need_library() {
	[ -e "$USERLIB/libnvmedmabuf.so" ] && return
	echo "Bail out! no library in $USERLIB: run make -C userlib, or set USERLIB"
	exit 1
}

done_testing() {
	echo "1..$tests"
	exit $((failures != 0))
}

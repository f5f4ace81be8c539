#!/bin/bash
# SPDX-License-Identifier: MIT
#
# This test will check that fio's engine is built against Debian's source of fio,
# loads into that fio and into no other, and that building it without a source
# says what is missing. It needs neither the module nor a drive. What it builds is
# left for fio.t.

# shellcheck source-path=SCRIPTDIR
# shellcheck disable=SC2317 # functions are called through check
. "$(dirname "$0")/../abi/tap.sh"

rm -f build/tests/fio/fio
FIO_SRC=$(tests/fio/source) || { echo "1..0 # SKIP Debian's source of fio cannot be had"; exit; }
ENGINE=$PWD/build/userlib/fio-nvme-dmabuf.so

# says TEXT COMMAND...: fails, and says so
says() {
	local text=$1 out
	shift
	out=$("$@" 2>&1) && { echo "succeeded: $out"; return 1; }
	grep -qF -- "$text" <<<"$out" && return
	echo "does not say '$text':"
	echo "$out"
	return 1
}

builds() {
	make -s fio FIO_SRC="$FIO_SRC" CFLAGS="-O2 -g -Werror"
}

exports_one_symbol() {
	nm -D --defined-only "$ENGINE" > "$TMP/symbols"
	cat "$TMP/symbols"
	[ "$(awk '{ print $3 }' "$TMP/symbols")" = ioengine ]
}

# What fio does not bring, the libraries must.
needs_nothing_else() {
	local file
	for file in "$FIO_SRC/fio" $(ldd "$ENGINE" | awk '$2 == "=>" { print $3 }'); do
		nm -D --defined-only "$file"
	done | awk '{ sub(/@.*/, "", $3); print $3 }' | sort -u > "$TMP/there"
	nm -D --undefined-only "$ENGINE" | awk '$1 == "U" { sub(/@.*/, "", $2); print $2 }' |
		sort -u | comm -23 - "$TMP/there" > "$TMP/missing"
	! grep . "$TMP/missing"
}

has_options() {
	"$FIO_SRC/fio" --enghelp="$ENGINE" > "$TMP/out" 2>&1
	for option in frontend polled exporter; do
		grep -q "^$option  *: " "$TMP/out" || { cat "$TMP/out"; return 1; }
	done
}

# job ENGINE OPTION...: on a file, which is no namespace
job() {
	local engine=$1
	shift
	head -c 1M /dev/zero > "$TMP/file"
	"$FIO_SRC/fio" --name=job --ioengine="external:$engine" --filename="$TMP/file" \
		--rw=randread "$@"
}

# another_fio: an engine built with a structure that has one more member
another_fio() {
	cp -r "$FIO_SRC" "$TMP/another" &&
		sed -i 's/^struct thread_options {/&\n\tchar another[64];/' "$TMP/another/thread_options.h" &&
		make -s -C userlib fio BUILD="$TMP/another-build" FIO_SRC="$TMP/another" &&
		says "another fio" job "$TMP/another-build/fio-nvme-dmabuf.so"
}

without_engine() {
	says "make fio FIO_SRC=" make -s -C userlib install-fio BUILD="$TMP/nothing" DESTDIR="$TMP/stage"
}

installs() {
	make -s install-fio DESTDIR="$TMP/stage" PREFIX=/opt/nd &&
		cmp "$TMP/stage/opt/nd/lib/fio/fio-nvme-dmabuf.so" "$ENGINE" &&
		make -s -C userlib uninstall BUILD="$USERLIB" DESTDIR="$TMP/stage" PREFIX=/opt/nd &&
		! find "$TMP/stage" ! -type d | grep .
}

mkdir "$TMP/empty" "$TMP/raw"
touch "$TMP/raw/ioengines.h"
check "without FIO_SRC" says "FIO_SRC=DIR" make -s fio
check "FIO_SRC is something else" says "no ioengines.h" make -s fio FIO_SRC="$TMP/empty"
check "FIO_SRC is not configured" says "./configure" make -s fio FIO_SRC="$TMP/raw"
check "is built without a warning" builds
check "has one symbol" exports_one_symbol
check "every other symbol is there" needs_nothing_else
check "has its options" has_options
check "a front end that there is not" says "valid values: ioctl" job "$ENGINE" --frontend=none
check "refuses trims" says "no trims" job "$ENGINE" --rw=randtrim
check "refuses a fio with other structures" another_fio
if [ -e /dev/nvme-dmabuf ]; then
	skip "without the module" "it is loaded"
else
	check "without the module" says "is the module nvme_dmabuf loaded?" job "$ENGINE"
fi
check "there is nothing to install" without_engine
check "is installed and uninstalled" installs

install -D "$FIO_SRC/fio" build/tests/fio/fio
done_testing

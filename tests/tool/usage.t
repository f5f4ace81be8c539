#!/bin/bash
# SPDX-License-Identifier: MIT
#
# This test will check that the tool understands its command line, refuses what
# makes no sense with the right exit code, and reports errors as JSON when asked
# to. It needs neither the module nor a drive.
#
#   NVME_DMABUF=FILE   test this program

# shellcheck source-path=SCRIPTDIR
# shellcheck disable=SC2317 # functions are called through check
. "$(dirname "$0")/tool.sh"

SUBCOMMANDS="info peers read write selftest bench"

# help_names SUBCOMMAND OPTION...: each option is in the help
help_names() {
	local subcommand=$1 option
	shift
	run "$subcommand" --help
	code 0 && empty err || return 1
	for option; do
		grep -qE -- "(^|[ ,])$option\b" "$TMP/out" || { echo "no $option"; return 1; }
	done
}

version() {
	run --version
	code 0 && [ "$(cat "$TMP/out")" = "nvme-dmabuf $(cat VERSION)" ]
}

# wrong PATTERN WORD...: exit code 2, and one line on stderr that matches
wrong() {
	local pattern=$1
	shift
	run "$@"
	code 2 && empty out && [ "$(wc -l < "$TMP/err")" = 1 ] && says err "$pattern"
}

# wrong_json SUBCOMMAND WORD...: the same as JSON, and silence on stderr
wrong_json() {
	run "$@" --json
	code 2 && empty err && json error usage && json reason usage &&
		json command "$1" && says out "see 'nvme-dmabuf $1 --help'"
}

# help_json [SUBCOMMAND]: with --json the help is a member of an object, too
help_json() {
	run "$@" --help
	cp "$TMP/out" "$TMP/help"
	run "$@" --help --json
	code 0 && empty err && json help "$(cat "$TMP/help")" || return 1
	[ $# = 0 ] && return
	json command "$1" && cp "$TMP/out" "$TMP/json"
	run "$@" --json --help
	code 0 && same "$TMP/out" "$TMP/json"
}

version_json() {
	run --version --json
	code 0 && empty err && json tool_version "$(cat VERSION)"
}

# utf8 BYTES SHOWN: the name of a file is shown as valid UTF-8 in JSON
utf8() {
	run info --json "$TMP/$(printf '%b' "$1")"
	iconv -f UTF-8 -t UTF-8 < "$TMP/out" > /dev/null && json command info &&
		says out "$TMP/$(printf '%b' "$2")\""
}

full_disk() {
	"$NVME_DMABUF" --help > /dev/full 2> "$TMP/err"
	[ $? = 1 ] && says err "No space left"
}

without_module() {
	run "$@"
	code 3 && says err "modprobe nvme-dmabuf"
}

without_module_json() {
	run "$@" --json
	code 3 && empty err && json error unavailable && json reason module-not-loaded
}

info_without_module() {
	without_module_json info /dev/null &&
		json module.state module-not-loaded &&
		json kernel "$(uname -r)" &&
		json namespaces.0.reason not-block-device &&
		json exporters.0.name udmabuf
}

same_in_any_locale() {
	LC_ALL=de_DE.UTF-8 LANGUAGE=de "$NVME_DMABUF" info /dev/null > "$TMP/de" 2>&1
	LC_ALL=C "$NVME_DMABUF" info /dev/null > "$TMP/c" 2>&1
	same "$TMP/de" "$TMP/c"
}

check "--version tells the version" version
check "--help names the subcommands" help_names "" info peers read write selftest bench
for subcommand in $SUBCOMMANDS; do
	check "$subcommand --help" help_names "$subcommand" --help --json
	check "$subcommand: an unknown option" wrong "option '--bogus'" "$subcommand" --bogus
	check "$subcommand: an unknown letter" wrong "option '-Z'" "$subcommand" -Z
	check "$subcommand: errors as JSON" wrong_json "$subcommand" --bogus
done
check "--help as JSON" help_json
check "--version as JSON" version_json
for subcommand in $SUBCOMMANDS; do
	check "$subcommand --help as JSON" help_json "$subcommand"
done
instead='\xef\xbf\xbd'
check "a name in UTF-8 as JSON" utf8 'a\xc3\xa9\xe2\x82\xac\xed\x9f\xbf\xf0\x9f\x98\x80\xf4\x8f\xbf\xbf' \
	'a\xc3\xa9\xe2\x82\xac\xed\x9f\xbf\xf0\x9f\x98\x80\xf4\x8f\xbf\xbf'
check "a name in Latin-1 as JSON" utf8 'caf\xe9 ' "caf$instead "
check "a name that ends in a part of a character as JSON" utf8 'x\xe2\x82' "x$instead$instead"
check "overlong characters as JSON" utf8 '\xc0\x80\xe0\x80\x80' "$instead$instead$instead$instead$instead"
check "surrogates as JSON" utf8 '\xed\xa0\x80' "$instead$instead$instead"
check "what is above U+10FFFF as JSON" utf8 '\xf4\x90\x80\x80\xff' "$instead$instead$instead$instead$instead"
check "help that cannot be written is a failure" full_disk
check "no subcommand" wrong "no subcommand"
check "an unknown subcommand" wrong "subcommand 'frobnicate'" frobnicate

ns=/dev/null
for subcommand in read write selftest bench; do
	check "$subcommand: no namespace" wrong "no namespace" "$subcommand"
	check "$subcommand: two namespaces" wrong "argument 'b'" "$subcommand" a b
	check "$subcommand: an unknown exporter" wrong "buffer 'tape'" "$subcommand" $ns --buffer tape
	check "$subcommand: an empty heap" wrong "buffer 'heap:'" "$subcommand" $ns --buffer heap:
	check "$subcommand: a PCI device by half its address" wrong "buffer 'vfio:03:00.0'" "$subcommand" $ns --buffer vfio:03:00.0
	check "$subcommand: a GPU that is no number" wrong "buffer 'cuda:x'" "$subcommand" $ns --buffer cuda:x
	check "$subcommand: a heap with a path" wrong "buffer 'heap:../x'" "$subcommand" $ns --buffer heap:../x
done
check "peers: no namespace" wrong "no namespace" peers
for address in x '' 3 03:00 :00.0 03:00. 03:20.0 03:00.8 103:00.0 0:03:00.0.0 03:00.0x 123456789:03:00.0 \
	0000:03:00.0: 80000000:03:00.0; do
	check "peers: '$address' is no PCI address" wrong "'$address' is no PCI address" peers $ns "$address"
	check "peers: nor is it after one that is" wrong "'$address' is no" peers $ns 0000:03:00.0 "$address"
done
for number in x -1 '' 1K 0x 1.5 18446744073709551616; do
	check "read: --start '$number' is no block number" \
		wrong "start" read $ns --bytes 512 --start "$number"
done
for size in x -1 '' 1KB 1.5M K 99999999T; do
	check "read: --bytes '$size' is no size" wrong "bytes" read $ns --bytes "$size"
done
check "read: how much?" wrong "--count or --bytes" read $ns -o "$TMP/x"
check "read: --count and --bytes" wrong "exclude" read $ns --count 1 --bytes 1 -o "$TMP/x"
check "read: nothing" wrong "length is 0" read $ns --count 0 -o "$TMP/x"
check "read: a chunk of 0" wrong "chunk" read $ns --count 1 --chunk 0 -o "$TMP/x"
check "read: a chunk above 1 GiB" wrong "chunk" read $ns --count 1 --chunk 2G -o "$TMP/x"
check "read: an option without its argument" wrong "needs an argument" read $ns --count
check "read: no data and JSON to one place" wrong_json read $ns --count 1
check "read: an option of write" wrong "force" read $ns --count 1 -o "$TMP/x" --force
check "write: no file" wrong "what to write" write $ns --start 0
check "write: no place" wrong "where to" write $ns -i /dev/null
check "selftest: no rounds" wrong "rounds" selftest $ns --rounds 0
check "selftest: a range without --write" wrong "need --write" selftest $ns --start 0
check "selftest: --write without a range" wrong "--start" selftest $ns --write
check "selftest: a serial without --write" wrong "need --write" selftest $ns --yes-overwrite=X
for list in x '' '4K,' ',4K' 4K,x -1 0 4K,0 2G 4KB; do
	check "bench: --size '$list' is no list of sizes" wrong "--size" bench $ns --size "$list"
done
for list in x '' '1,' 1,x 1K 0 5000 1,5000; do
	check "bench: --depth '$list' is no list of depths" wrong "--depth" bench $ns --depth "$list"
done
check "bench: too many depths" wrong "16 numbers" bench $ns --depth "$(seq -s, 17)"
check "bench: an unknown path" wrong "'ioctls'" bench $ns --paths ioctls
check "bench: an unknown path behind one that is known" wrong "'x'" bench $ns --paths ioctl,x
check "bench: an empty path" wrong "''" bench $ns --paths ''
check "bench: an unknown pattern" wrong "'zigzag'" bench $ns --pattern zigzag
check "bench: an unknown direction" wrong "'trim'" bench $ns --direction trim
check "bench: no time" wrong "--seconds must be" bench $ns --seconds 0
check "bench: no commands" wrong "--ios must be" bench $ns --ios 0
check "bench: a time and a number" wrong "exclude" bench $ns --ios 1 --seconds 1
check "bench: no blocks" wrong "--count must be" bench $ns --count 0
check "bench: a buffer that is too small" \
	wrong "1 MiB at least" bench $ns --size 4K,128K --depth 8,1 --buffer-size 1048575
check "bench: a buffer that is too large" wrong "1 GiB" bench $ns --buffer-size 1025M
check "bench: commands that take too large a buffer" wrong "1 GiB" bench $ns --size 1M --depth 1025
check "bench: writing needs a place" wrong "--start LBA and" bench $ns --direction write --count 8
check "bench: writing needs a length" wrong "--count BLOCKS" bench $ns --direction read,write --start 0
check "bench: a serial without writing" wrong "--direction write" bench $ns --yes-overwrite=X
check "bench: it has no --force" wrong "option '--force'" bench $ns --force
refuse "a wrong command line made a file" [ -e "$TMP/x" ]

if [ -e /sys/module/nvme_dmabuf ] || [ -e /dev/nvme-dmabuf ]; then
	skip "what is said without the module" "the module is loaded"
else
	check "info without the module" without_module info
	check "info without the module, as JSON" info_without_module
	check "peers without the module" without_module peers $ns
	for address in 03:00.0 0000:03:00.0 10000:ff:1f.7 7BCDEF01:aB:1.0; do
		check "peers without the module: $address is a PCI address" without_module_json peers $ns $address
	done
	check "read without the module" without_module read $ns --count 1 -o "$TMP/x"
	check "read without the module, as JSON" without_module_json read $ns --count 1 -o "$TMP/x"
	check "write without the module" without_module write $ns -i VERSION --start 0
	check "write without the module, as JSON" without_module_json write $ns -i VERSION --start 0
	check "selftest without the module" without_module selftest $ns
	check "selftest without the module, as JSON" without_module_json selftest $ns
	check "bench without the module" without_module bench $ns
	check "bench without the module, as JSON" without_module_json bench $ns
	check "bench: all options together" without_module_json bench $ns --pattern random,sequential \
		--size 512,4KiB,1G --depth 1 --paths uring-cmd,read-fixed,uring,ioctl --polled --ios 7 \
		--start 0x10 --count 2 --buffer heap --buffer-size 1G --seed 3 --progress \
		--direction write,read --yes-overwrite=X
	check "nothing depends on the locale" same_in_any_locale
fi

done_testing

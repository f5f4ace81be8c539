#!/bin/bash
# SPDX-License-Identifier: MIT
#
# This test will check that the manual pages of the tool, the device and the
# concepts are well formed, that what they say of structures, reasons and options
# is what the headers and the tool have, and that the commands which they and the
# README show can be run.

# shellcheck source-path=SCRIPTDIR
# shellcheck disable=SC2317 # functions are called through check
. "$(dirname "$0")/tool.sh"

UAPI=uapi/linux/nvme_dmabuf.h
DEVICE=userlib/man/nvme-dmabuf.4
TOOL=userlib/man/nvme-dmabuf.8

# structures FILE: every member of every structure, one a line, no comments
structures() {
	perl -0777 -ne '
		s{/\*.*?\*/}{}gs;
		while (/^struct (\w+) \{\n(.*?)^\};/gms) {
			my ($name, $body) = ($1, $2);
			print "$name: ", s/\s+/ /gr, "\n" for grep { /\S/ } split /;/, $body;
		}
	' "$1" | sort
}

structures_agree() {
	structures "$UAPI" > "$TMP/header"
	structures "$DEVICE" > "$TMP/page"
	[ -s "$TMP/header" ] && same "$TMP/page" "$TMP/header"
}

# Number, token, constant and error numbers of each reason; the header has the
# latter in a comment.
reasons_agree() {
	perl -ne '
		next unless m{^#define NVME_DMABUF_REASON_(\w+)\s+(\d+)\s+/\* (.*)};
		my ($constant, $name, $number, $text) = ($1, lc $1, $2, $3);
		my @errors = $text =~ /^(E[A-Z0-9]+)(?: or (E[A-Z0-9]+))?\b/;
		print join(" ", $number, $name =~ tr/_/-/r, $constant, grep { defined } @errors), "\n";
	' "$UAPI" > "$TMP/header"
	perl -ne '
		if (/^\.Ss Reasons/) { $on = 1 }
		next unless $on;
		if (/^\.It (\d+) Li (\S+) , Dv NVME_DMABUF_REASON_(\w+)/) {
			print "$line\n" if $line;
			$line = "$1 $2 $3";
		}
		if (/^\.Pq (Er .*)/) { $line .= join("", map { " $_" } grep { /^E[A-Z0-9]/ && $_ ne "Er" } split / /, $1) }
		if (/^\.El/) { print "$line\n"; $on = 0 }
	' "$DEVICE" > "$TMP/page"
	[ -s "$TMP/header" ] && same "$TMP/page" "$TMP/header"
}

# Everything that is defined is explained, numbers of requests excepted.
constants_are_told() {
	local name missing=0
	while read -r name; do
		grep -q "\b$name\b" "$DEVICE" || { echo "$name"; missing=1; }
	done < <(grep -oE '^#define NVME_DMABUF_(IOC|URING|FEATURE|NS|ACCESS|ATTACH|MAP|PLACEMENT|OP|CMD|SUBMIT|QUEUE|ENTER|CQE)_[A-Z_0-9]+' "$UAPI" |
		grep -v IOC_TYPE | cut -d' ' -f2)
	return "$missing"
}

# Error numbers of the header's list have an entry each.
errors_are_told() {
	sed -n '/^ \* Error numbers/,/^ \* A refusal/s/^ \*  \(E[A-Z0-9]*\) .*/\1/p' "$UAPI" | sort > "$TMP/header"
	sed -n '/^\.Sh ERRORS/,/^\.Ss/s/^\.It Bq Er //p' "$DEVICE" | sort > "$TMP/page"
	[ -s "$TMP/header" ] && same "$TMP/page" "$TMP/header"
}

parameters_are_told() {
	grep -hoE 'module_param(_named|_cb)?\([a-z_]+' module/*.c module/*/*.c | sed 's/.*(//' | sort > "$TMP/module"
	sed -n '/^\.Sh MODULE PARAMETERS/,/^\.Sh FILES/s/^\.It Va //p' "$DEVICE" | sort > "$TMP/page"
	[ -s "$TMP/module" ] && same "$TMP/page" "$TMP/module"
}

# options SUBCOMMAND: each long option in --help has an entry in the manual
options_are_told() {
	local option missing=0
	run "$1" --help
	code 0 || return 1
	while read -r option; do
		sed -n "/^\.Ss $1/,/^\.S[sh] /p" "$TOOL" "$TOOL" | grep -q "Fl ${option#-}\b" ||
			sed -n '/^\.Ss read/,/^\.Ss write/p' "$TOOL" | grep -q "Fl ${option#-}\b" ||
			{ echo "$option"; missing=1; }
	done < <(grep -oE '^  (-[a-z], )?--[a-z-]+' "$TMP/out" | grep -oE -- '--[a-z-]+$' |
		grep -vE '^--(help|json)$')
	return "$missing"
}

exit_codes_are_told() {
	sed -n '/^\.Sh EXIT STATUS/,/^\.El/s/^\.It //p' "$TOOL" > "$TMP/page"
	same "$TMP/page" <(seq 0 4)
}

# Every command that the README or the tool's page shows, one a line. A subcommand
# alone is only named, but for info, which needs no argument.
shown_commands() {
	sed -n 's/^\.Dl # \(nvme-dmabuf .*\)/\1/p' "$TOOL"
	perl -0777 -ne 's/```.*?```//gs;
		while (/`(nvme-dmabuf [^`]*)`/g) { print $1 =~ s/\s+/ /gr, "\n" }' README.md |
		grep -E '^nvme-dmabuf (info|[a-z]+ .*)$' | sort -u
}

# is_right COMMAND: the tool takes it, and then lacks the module alone
is_right() {
	local words
	read -ra words <<<"$1"
	cd "$TMP" && touch root.img && run "${words[@]:1}"
	cd "$OLDPWD" && code 3 && says err "kernel module is not loaded"
}

# The page's example with jq, of a namespace that cannot be used.
filter_works() {
	sed -n '/^\.Bd -literal/,/^\.Ed/p' "$TOOL" | sed '/^\./d; s/\\e/\\/g; s/^# //' > "$TMP/filter"
	grep -q jq "$TMP/filter" || return 1
	nvme-dmabuf() { "$NVME_DMABUF" "$@" /dev/null; }
	[ "$(. "$TMP/filter")" = "/dev/null not-block-device" ]
}

# names_itself PAGE: its footer has the project's name, not that of the reader's system
names_itself() {
	mandoc "$1" | tail -n 1 | grep '^nvme-dmabuf .* nvme-dmabuf$'
}

for section in 4 7 8; do
	page=userlib/man/nvme-dmabuf.$section
	if command -v mandoc > /dev/null; then
		check "${page##*/} is well formed" mandoc -Tlint -Wwarning "$page"
	else
		skip "${page##*/} is well formed" "no mandoc (Debian package mandoc)"
	fi
done
check "structures are the header's" structures_agree
check "reasons are the header's" reasons_agree
check "constants are explained" constants_are_told
check "error numbers are explained" errors_are_told
check "module parameters are explained" parameters_are_told
for subcommand in info peers read write selftest bench; do
	check "options of $subcommand are explained" options_are_told "$subcommand"
done
check "exit codes are explained" exit_codes_are_told
if command -v jq > /dev/null; then
	check "the example with jq" filter_works
else
	skip "the example with jq" "no jq (Debian package jq)"
fi
shown_commands > "$TMP/commands"
check "commands are shown" [ "$(wc -l < "$TMP/commands")" -gt 10 ]
while read -r command; do
	if [ -e /dev/nvme-dmabuf ]; then
		skip "$command" "the module is loaded"
	else
		check "$command" is_right "$command"
	fi
done < "$TMP/commands"
for page in userlib/man/*.[0-9]; do
	if command -v mandoc > /dev/null; then
		check "${page##*/} has the project's name below" names_itself "$page"
	else
		skip "${page##*/} has the project's name below" "no mandoc (Debian package mandoc)"
	fi
done

done_testing

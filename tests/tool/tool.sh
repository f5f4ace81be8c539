# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# Sourced by the tests of the tool: running it, and looking at what it says.

# shellcheck source-path=SCRIPTDIR source=../abi/tap.sh
. "$(dirname "${BASH_SOURCE[0]}")/../abi/tap.sh"

NVME_DMABUF=${NVME_DMABUF:-$USERLIB/nvme-dmabuf}
[ -x "$NVME_DMABUF" ] || {
	echo "Bail out! no tool at $NVME_DMABUF: run make -C userlib, or set NVME_DMABUF"
	exit 1
}
export LC_ALL=C

# run WORD...: its output goes to $TMP/out and $TMP/err, its exit code to $RC.
# Empty words at the start are left out.
run() {
	[ -n "${1-x}" ] || shift
	"$NVME_DMABUF" "$@" > "$TMP/out" 2> "$TMP/err"
	RC=$?
}

# code N: the exit code was N; if not, show everything
code() {
	[ "$RC" = "$1" ] && return
	echo "exit code $RC instead of $1"
	head -n 40 "$TMP/out" "$TMP/err"
	return 1
}

# empty out|err
empty() {
	[ ! -s "$TMP/$1" ] && return
	echo "std$1 should be empty, but is:"
	head -n 20 "$TMP/$1"
	return 1
}

# says out|err TEXT
says() {
	grep -qF -- "$2" "$TMP/$1" && return
	echo "std$1 does not say '$2':"
	head -n 20 "$TMP/$1"
	return 1
}

# json PATH VALUE: what stands at PATH (names and indexes, with dots between) in
# the output, which must be JSON. An array's value is how many elements it has.
json() {
	local value
	value=$(perl -MJSON::PP -e '
		my $v = decode_json(join "", <STDIN>);
		$v = ref $v eq "ARRAY" ? $v->[$_] : $v->{$_} for split /\./, shift;
		print ref $v eq "ARRAY" ? scalar @$v :
			JSON::PP::is_bool($v) ? ($v ? "true" : "false") : $v // "null";
	' "$1" < "$TMP/out") && [ "$value" = "$2" ] && return
	echo "$1 is '$value' instead of '$2' in:"
	head -n 60 "$TMP/out"
	return 1
}

#!/bin/bash
# SPDX-License-Identifier: MIT
#
# This test will check that the tool reads and writes files on XFS and ext4: that write,
# selftest and bench move the right data, leave all else as it was, and tell if somebody is in
# the way. It DESTROYS the data of the test machine's drives, so it runs only in a virtual
# machine of tests/vm/run:
#
#   tests/vm/run --kernel 6.12 --drives files -- tests/tool/mounted.t
#
#   NVME_DMABUF_MODULE=KO   module to load (build/SERIES/nvme_dmabuf.ko)

# shellcheck source-path=SCRIPTDIR
# shellcheck disable=SC2317 # functions are called through check
# shellcheck disable=SC2034 # code looks at RC
. "$(dirname "$0")/tool.sh"

[ -n "${VM_SERIES-}" ] || { echo "1..0 # SKIP not in a virtual machine of tests/vm/run"; exit; }

tests/vm/guest-drives > "$TMP/drives"
[ -e /sys/module/nvme_dmabuf ] || insmod "${NVME_DMABUF_MODULE:-build/$VM_SERIES/nvme_dmabuf.ko}" ||
	{ echo "Bail out! cannot load the module"; exit 1; }
MNT=$TMP/mnt
FILE=$MNT/file
BYTES=$((12 * 1024 * 1024 + 100)) # the last block is one in part
mkdir "$MNT"

# mounted TYPE SERIAL: a new file system, with the file
mounted() {
	local ns
	ns=$(tests/vm/guest-drives "$2") && "mkfs.$1" -q "$ns" && mount -t "$1" "$ns" "$MNT" &&
		head -c "$BYTES" /dev/urandom > "$FILE" && sync && chmod 666 "$FILE" &&
		BLOCK=$(blockdev --getss "$ns")
}

before() {
	cp "$FILE" "$TMP/before"
}

# same_but START COUNT: through the page cache and past it, all but these blocks are as before
same_but() {
	local first=$(($1 * BLOCK)) end=$((($1 + $2) * BLOCK)) flags
	for flags in fullblock direct; do
		dd if="$FILE" of="$TMP/after" bs=1M iflag="$flags" status=none || return 1
		if ! cmp <(head -c "$first" "$TMP/after") <(head -c "$first" "$TMP/before") ||
			! cmp <(tail -c +$((end + 1)) "$TMP/after") <(tail -c +$((end + 1)) "$TMP/before"); then
			echo "read with iflag=$flags"
			return 1
		fi
	done
}

writes() {
	head -c 5000001 /dev/urandom > "$TMP/in"
	before
	run write "$FILE" -i "$TMP/in" --start 3 --verify --json
	code 0 && json verified true && json bytes_by_write $((5000001 % BLOCK)) && json bytes_zeroed 0 &&
		cmp <(tail -c +$((3 * BLOCK + 1)) "$FILE" | head -c 5000001) "$TMP/in" &&
		same_but 3 $((5000001 / BLOCK + 1))
}

selftests() {
	before
	run selftest "$FILE" --rounds 3 --json
	code 0 && json failed 0 && same_but 0 0
}

# selftest_write WORD...
selftest_write() {
	before
	rm -f "$TMP/saved"
	run selftest "$FILE" --write --start 100 --count 600 --rounds 3 --save "$TMP/saved" --json \
		--yes-overwrite="$FILE" "$@"
	code 0 && json failed 0 && says out "are where they belong" && says out "are back" &&
		same_but 0 0 && cmp "$TMP/saved" <(tail -c +$((100 * BLOCK + 1)) "$FILE" | head -c $((600 * BLOCK)))
}

# Also of a file that belongs to others, without any right to the drive.
selftest_as_nobody() {
	chmod 666 /dev/nvme-dmabuf /dev/udmabuf /dev/dma_heap/* /dev/dri/card* 2> /dev/null
	before
	cp "$NVME_DMABUF" "$TMP/tool"
	chmod 755 "$TMP" "$TMP/tool"
	setpriv --reuid=65534 --regid=65534 --clear-groups "$TMP/tool" selftest "$FILE" --write --start 0 \
		--count 100 --rounds 1 --json --yes-overwrite="$FILE" > "$TMP/out" 2> "$TMP/err"
	RC=$?
	chmod 600 /dev/nvme-dmabuf
	code 0 && says out "are where they belong" && same_but 0 0
}

# Others look at the file meanwhile, which breaks the leases each time.
# Of a small file, whose reads are over soon, so that most of the time goes to writing.
selftest_interrupted() {
	local pid FILE=$MNT/small
	head -c 100000 /dev/urandom > "$FILE"
	sync
	before
	tail -c +$((8 * BLOCK + 1)) "$TMP/before" | head -c $((8 * BLOCK)) > "$TMP/eight"
	env --default-signal=INT "$NVME_DMABUF" selftest "$FILE" --write --start 8 --count 8 \
		--rounds 500 --buffer drm --json --yes-overwrite="$FILE" > "$TMP/out" 2> "$TMP/err" &
	pid=$!
	while dd if="$FILE" bs="$BLOCK" skip=8 count=8 status=none | cmp -s - "$TMP/eight"; do
		kill -0 "$pid" || break
		sleep 0.1
	done
	kill -INT "$pid"
	wait "$pid"
	RC=$?
	code 1 && json reason interrupted && json failed 0 && says out "are back" && same_but 0 0
}

# bench WORD...: of 64 commands each
bench() {
	run bench "$FILE" --ios 64 --json --start 1000 --count 300 "$@" --yes-overwrite="$FILE"
}

# measured: all but NVMe passthrough, in all results; with commands that all went well
measured() {
	code 0 && json failed 0 || return 1
	perl -MJSON::PP -e '
		my $results = decode_json(join "", <STDIN>)->{results};
		@$results >= 4 or die "too few\n";
		for my $r (@$results) {
			my $what = "$r->{direction} of $r->{size} bytes, depth $r->{depth}, by $r->{path}";
			if ($r->{path} eq "uring-cmd") {
				$r->{reason} eq "file" or die "$what: $r->{state}\n";
				next;
			}
			$r->{state} eq "measured" && $r->{ios} == 64 && $r->{errors} == 0
				or die "$what: $r->{state}, $r->{message}\n";
		}
	' < "$TMP/out"
}

# The kernel's path has the file open for writing, and then the module's has it again.
bench_writes() {
	before
	bench --direction read,write --size 4K,128K --depth 1,8
	measured && json measured 24 && same_but 1000 300 && ! cmp -s "$FILE" "$TMP/before"
}

bench_polled() {
	before
	bench --direction write --depth 1,8 --polled
	measured && same_but 1000 300
}

# read(2) gives something else than the drive has: then no path is trusted.
bench_wrong_data() {
	cat > "$TMP/liar.c" <<-'EOF'
	#define _GNU_SOURCE
	#include <sys/syscall.h>
	#include <unistd.h>
	ssize_t pread64(int fd, void *mem, size_t length, off64_t at)
	{
		ssize_t n = syscall(SYS_pread64, fd, mem, length, at);
		if (n > 0)
			((char *)mem)[n - 1] ^= 1;
		return n;
	}
	EOF
	cc -shared -fPIC -o "$TMP/liar.so" "$TMP/liar.c" || return 1
	before
	LD_PRELOAD=$TMP/liar.so bench --direction write --depth 1
	code 1 && json reason wrong-data && json measured 0 && json failed 3 && same_but 1000 300
}

# Nothing is written to a file that somebody has open, and he is told of.
open_elsewhere() {
	local status=0
	before
	exec 9< "$FILE"
	run selftest "$FILE" --write --start 100 --rounds 1 --json --yes-overwrite="$FILE"
	code 1 && json reason selftest-failed && says out "the file cannot be written (EBUSY)" || status=1
	bench --direction write
	code 1 && json reason file-busy || status=1
	exec 9<&-
	[ "$status" = 0 ] && same_but 0 0
}

# Neither with the drive's serial number, nor with nobody to ask.
unconfirmed() {
	before
	run selftest "$FILE" --write --start 100 --yes-overwrite=FILES512 --json
	code 4 && json reason not-confirmed && says err "file system" || return 1
	run bench "$FILE" --direction write --start 100 --count 8 --json < /dev/null
	code 4 && json reason not-confirmed && same_but 0 0
}

for where in "xfs FILES512" "ext4 FILES4K"; do
	read -r type serial <<<"$where"
	mounted "$type" "$serial" > "$TMP/made" 2>&1 ||
		{ cat "$TMP/made"; echo "Bail out! no $type on $serial"; exit 1; }
	check "$type: write" writes
	check "$type: selftest" selftests
	check "$type: selftest with writing" selftest_write
	check "$type: selftest with writing, by others than root" selftest_as_nobody
	check "$type: selftest interrupted while writing" selftest_interrupted
	check "$type: bench with writing" bench_writes
	if [ "$(cat /sys/module/nvme/parameters/poll_queues)" != 0 ]; then
		check "$type: bench with writing, polled" bench_polled
	else
		skip "$type: bench with writing, polled" "no polled queues"
	fi
	check "$type: bench shows no figures of wrong data" bench_wrong_data
	check "$type: somebody has the file open" open_elsewhere
	check "$type: writing that nobody agrees to" unconfirmed
	check "$type: is unmounted" umount "$MNT"
done

done_testing

#!/bin/bash
# SPDX-License-Identifier: MIT
#
# This test will check what the tool does with regular files in place of namespaces: the
# bytes that read copies, holes, ends and changes, and what is refused. The module and the
# drive are pretended, so it needs neither; see pretend.c.
#
#   PRETENDED=FILE   the tool with the pretended library (build/tests/tool/pretended/nvme-dmabuf)

# shellcheck source-path=SCRIPTDIR
# shellcheck disable=SC2317 # functions are called through check
# shellcheck disable=SC2162 # 'run read' is not the shell's read
. "$(dirname "$0")/tool.sh"

NVME_DMABUF=${PRETENDED:-build/tests/tool/pretended/nvme-dmabuf}
[ -x "$NVME_DMABUF" ] || make -s -C tests/tool pretended ||
	{ echo "Bail out! no tool at $NVME_DMABUF: run make -C tests/tool"; exit 1; }
NVME_DMABUF=$(realpath "$NVME_DMABUF")
FILE=$TMP/file

# make_file BYTES: random bytes
make_file() {
	head -c "$1" /dev/urandom > "$FILE"
}

# make_sparse: 64 KiB of data, a hole of 128 KiB, 100 bytes of data, and a hole up to 300001
make_sparse() {
	make_file 65536
	truncate -s 300001 "$FILE"
	head -c 100 /dev/urandom | dd of="$FILE" bs=1024 seek=192 conv=notrunc status=none
}

# copies BYTES BYTES_BY_READ WORD...: read gives these bytes of the file, from the start on
copies() {
	local bytes=$1 by_read=$2
	shift 2
	rm -f "$TMP/got"
	run read "$FILE" -o "$TMP/got" --buffer udmabuf --json "$@"
	code 0 && json file true && json complete true && json bytes "$bytes" &&
		json bytes_by_read "$by_read" && head -c "$bytes" "$FILE" | cmp - "$TMP/got" &&
		json sha256 "$(sha256sum < "$TMP/got" | cut -d' ' -f1)"
}

# refused CODE REASON WORD...: fails with this exit code, and this reason in JSON
refused() {
	local code=$1 reason=$2
	shift 2
	run "$@" --json
	code "$code" && empty err && json reason "$reason"
}

whole_files() {
	local bytes
	for bytes in 1 511 512 513 4096 16384 16385 100000 1048577; do
		make_file "$bytes"
		if ! copies "$bytes" 0 || ! copies "$bytes" 0 --chunk 20K; then
			echo "of $bytes bytes"
			return 1
		fi
	done
	make_file 20001
	copies 20001 0 --chunk 512
}

empty_file() {
	: > "$FILE"
	copies 0 0 && json buffer null && refused 1 outside-namespace read "$FILE" --count 1 -o "$TMP/got"
}

parts() {
	make_file 10000
	copies 4096 0 --count 8 && json blocks 8 && copies 1000 0 --bytes 1000 && json bytes_padded 24 || return 1
	run read "$FILE" -o "$TMP/got" --start 19 --buffer udmabuf --json
	code 0 && json bytes 272 && tail -c 272 "$FILE" | cmp - "$TMP/got" || return 1
	# The last block is there in part.
	run read "$FILE" -o "$TMP/got" --start 18 --count 2 --buffer udmabuf --json
	code 0 && json bytes 784 && tail -c 784 "$FILE" | cmp - "$TMP/got" && copies 10000 0 --bytes 10000
}

outside() {
	make_file 10000
	rm -f "$TMP/no"
	refused 1 outside-namespace read "$FILE" --start 19 --count 2 -o "$TMP/no" &&
		refused 1 outside-namespace read "$FILE" --start 20 -o "$TMP/no" &&
		refused 1 outside-namespace read "$FILE" --start 18446744073709551615 -o "$TMP/no" &&
		refused 1 outside-namespace read "$FILE" --bytes 10001 -o "$TMP/no" &&
		refused 1 outside-namespace read "$FILE" --start 1 --bytes 9489 -o "$TMP/no" &&
		[ ! -e "$TMP/no" ]
}

to_pipe() {
	make_file 100000
	"$NVME_DMABUF" read "$FILE" --buffer udmabuf 2> "$TMP/err" | cmp - "$FILE" && says err "100000 bytes"
}

# What the file system says is a hole never gets to the drive, which would refuse it.
holes() {
	make_sparse
	copies 300001 "$((300001 - 65536 - 4096))" && json commands 5 &&
		copies 300001 "$((300001 - 65536 - 4096))" --chunk 512
}

only_a_hole() {
	: > "$FILE"
	truncate -s 1000001 "$FILE"
	copies 1000001 1000001 && json commands 0
}

# Blocks that were allocated and never written may look like data.
unwritten() {
	make_file 100000
	PRETEND_HOLE=40-41 copies 100000 16384 && PRETEND_HOLE=40-41 copies 100000 1024 --chunk 512
}

tail_refused() {
	make_file 20000
	PRETEND_TAIL=1 copies 20000 $((20000 - 16384)) && PRETEND_TAIL=1 copies 20000 32 --chunk 512 || return 1
	make_file 100
	PRETEND_TAIL=1 copies 100 100
}

shows_map() {
	make_file 10000
	run read "$FILE" -o "$TMP/got" --buffer udmabuf --show-map --json
	code 0 && json map.file.lease layout && json map.file.extents 3 && json map.file.blocks 20 &&
		json map.file.bytes 10000 || return 1
	run read "$FILE" -o "$TMP/got" --buffer udmabuf --show-map
	code 0 && says out "in 3 extents, by a layout lease"
}

# Not all refusals are to be got round.
busy() {
	make_file 100000
	PRETEND_BUSY=2 refused 1 file-busy read "$FILE" -o "$TMP/got" --buffer udmabuf &&
		json bytes 32768 && json complete false && json errno EBUSY
}

changed() {
	make_file 100000
	PRETEND_CHANGE=1 refused 1 file-changed read "$FILE" -o "$TMP/got" --buffer udmabuf
}

onto_itself() {
	make_file 5000
	cp "$FILE" "$TMP/before"
	ln -f "$FILE" "$TMP/other"
	refused 4 same-file read "$FILE" -o "$FILE" --buffer udmabuf &&
		refused 4 same-file read "$FILE" -o "$TMP/other" --buffer udmabuf || return 1
	rm "$TMP/other"
	# shellcheck disable=SC2094 # it is the file that is read
	"$NVME_DMABUF" read "$FILE" --buffer udmabuf >> "$FILE" 2> "$TMP/err"
	[ $? = 4 ] && cmp "$FILE" "$TMP/before"
}

missing() {
	refused 4 no-such-namespace read "$TMP/missing" -o "$TMP/got" &&
		refused 4 no-such-namespace read missing -o "$TMP/got"
}

# reason_tells NUMBER TOKEN: refused with what the module says, before anything is made
reason_tells() {
	make_file 100
	rm -f "$TMP/no"
	PRETEND_REASON=$1 refused 4 "$2" read "$FILE" -o "$TMP/no" && json reason_number "$1" &&
		[ ! -e "$TMP/no" ]
}

names() {
	make_file 1000
	cd "$TMP" || return 1
	copies 1000 0 && run read file -o got --buffer udmabuf && cmp file got
}

# writes SIZE START BYTES BYTES_ZEROED WORD...: that many bytes, from that block on, to a file
# of that size
writes() {
	local size=$1 start=$2 bytes=$3 zeroed=$4
	shift 4
	make_file "$size"
	cp "$FILE" "$TMP/expected"
	head -c "$bytes" /dev/urandom > "$TMP/in"
	dd if="$TMP/in" of="$TMP/expected" bs=512 seek="$start" conv=notrunc status=none
	run write "$FILE" -i "$TMP/in" --start "$start" --buffer udmabuf --json "$@"
	code 0 && json file true && json complete true && json bytes "$bytes" &&
		json bytes_by_write $((bytes % 512)) && json bytes_zeroed "$zeroed" &&
		json sha256 "$(sha256sum < "$TMP/in" | cut -d' ' -f1)" && cmp "$FILE" "$TMP/expected"
}

written() {
	writes 100000 0 100000 0 && writes 100000 0 100000 0 --chunk 512 && writes 100000 0 5000 0 &&
		writes 100000 7 5120 0 && writes 100000 7 1 0 && writes 100000 194 1024 352 --fua
}

# It grows; what was between its end and the first block written is a hole.
grows() {
	writes 0 0 100000 $((100000 - 100000 % 512)) && writes 1000 0 5000 $((4608 - 1000)) &&
		writes 1000 8 5000 4608 && writes 300 0 200 0
}

fills_holes() {
	make_sparse
	cp "$FILE" "$TMP/expected"
	head -c 262144 /dev/urandom > "$TMP/in"
	dd if="$TMP/in" of="$TMP/expected" conv=notrunc status=none
	run write "$FILE" -i "$TMP/in" --buffer udmabuf
	code 0 && says out "by writing zeroes" && cmp "$FILE" "$TMP/expected"
}

from_pipe() {
	make_file 10000
	head -c 20001 /dev/urandom > "$TMP/in"
	"$NVME_DMABUF" write "$FILE" -i - --bytes 20001 --buffer udmabuf < <(cat "$TMP/in") > "$TMP/out" &&
		cmp "$FILE" "$TMP/in" && says out "the end of the file, by write(2)"
}

not_written() {
	make_file 5000
	cp "$FILE" "$TMP/before"
	: > "$TMP/in"
	refused 2 usage write "$FILE" -i VERSION --pad &&
		refused 1 input-empty write "$FILE" -i "$TMP/in" &&
		refused 4 no-such-namespace write "$TMP/missing" -i VERSION &&
		PRETEND_REASON=54 refused 4 file-shared write "$FILE" -i VERSION &&
		cmp "$FILE" "$TMP/before"
}

# What read(2) gives of its end is not what was written.
end_is_verified() {
	writes 100000 7 5001 0 --verify && json verified true || return 1
	cat > "$TMP/liar.c" <<-'EOF'
	#define _GNU_SOURCE
	#include <sys/syscall.h>
	#include <unistd.h>
	ssize_t pread64(int fd, void *mem, size_t length, off64_t at)
	{
		ssize_t n = syscall(SYS_pread64, fd, mem, length, at);
		if (length == 393)
			((char *)mem)[392] ^= 1;
		return n;
	}
	EOF
	cc -shared -fPIC -o "$TMP/liar.so" "$TMP/liar.c" || return 1
	head -c 5001 /dev/urandom > "$TMP/in"
	LD_PRELOAD=$TMP/liar.so ASAN_OPTIONS=verify_asan_link_order=0 \
		refused 1 verify-mismatch write "$FILE" -i "$TMP/in" --start 7 --buffer udmabuf --verify &&
		says out "byte 392 of block 16" && json complete false && json verified false
}

# Whatever has no place on the drive although it looks as if it had.
unwritten_not_written() {
	make_file 100000
	PRETEND_HOLE=40-41 refused 1 file-hole write "$FILE" -i "$NVME_DMABUF" --bytes 100000 --buffer udmabuf &&
		json complete false
}

infos() {
	make_sparse
	run info "$FILE" --json
	code 0 && json module.features.files true && json namespaces.0.usable true &&
		json namespaces.0.file.bytes 300001 && json namespaces.0.file.holes true &&
		json namespaces.0.capacity_blocks 586 &&
		json namespaces.0.file.file_system "$(stat -f -c %T "$FILE" | sed 's|^ext2/ext3$|ext4|; s|^overlayfs$|overlay|')" &&
		json namespaces.0.file.mount_point "$(stat -c %m "$FILE")" || return 1
	run info "$FILE"
	code 0 && says out "can be used" && says out "300001 bytes" && says out "with holes" || return 1
	PRETEND_REASON=54 run info "$FILE"
	code 4 && says out "file-shared" && says out "cp --reflink=never"
}

of_peers() {
	make_file 512
	refused 4 not-block-device peers "$FILE"
}

selftests() {
	run selftest "$FILE" --buffer udmabuf --json
	code 0 && json failed 0 && json passed 2
}

benches() {
	run bench "$FILE" --paths ioctl,uring-cmd --ios 100 --depth 1,8 --buffer udmabuf --json
	code 0 && json file true && json measured 2 && json skipped 2 &&
		json results.1.path uring-cmd && json results.1.reason file
}

# tested_with_writes BYTES START COUNT: of a file of so many bytes, which is the same again
tested_with_writes() {
	make_file "$1"
	cp "$FILE" "$TMP/before"
	rm -f "$TMP/saved"
	run selftest "$FILE" --write --start "$2" --count "$3" --save "$TMP/saved" --rounds 4 \
		--buffer udmabuf --json --yes-overwrite="$FILE"
	code 0 && json failed 0 && json passed 4 && json results.2.part "udmabuf, writing" &&
		says err "  file          $FILE, $1 bytes" && says err "  file system   " &&
		says err "  blocks        $2 to $(($2 + $3 - 1)) of $FILE" && cmp "$FILE" "$TMP/before" &&
		tail -c +$(($2 * 512 + 1)) "$FILE" | head -c $(($3 * 512)) | cmp - "$TMP/saved"
}

# Up to its end, as far as that is a whole block.
selftests_with_writes() {
	tested_with_writes 3000001 100 2000 && tested_with_writes 3000001 0 5859 &&
		tested_with_writes 512 0 1 || return 1
	make_file 1000
	refused 1 outside-namespace selftest "$FILE" --write --start 1 --yes-overwrite="$FILE"
}

# What a drive does wrong shows, and is mended.
wrong_writes() {
	local words=(selftest "$FILE" --write --start 100 --count 500 --rounds 8 --seed 1 --buffer udmabuf
		--yes-overwrite="$FILE")
	make_file 1000000
	cp "$FILE" "$TMP/before"
	PRETEND_LOSE=3 run "${words[@]}"
	code 1 && says err "do not trust" && says out "after writes, block" &&
		cmp "$FILE" "$TMP/before" || return 1
	PRETEND_STRAY=0 run "${words[@]}"
	code 1 && says err "do not trust" && says out "after writes, block" &&
		cmp "$FILE" "$TMP/before"
}

# Neither the wrong word nor nobody to ask.
unconfirmed() {
	local words
	make_file 100000
	cp "$FILE" "$TMP/before"
	for words in "selftest $FILE --write --start 0" "bench $FILE --direction write --start 0 --count 8"; do
		# shellcheck disable=SC2086 # words
		run $words --yes-overwrite="${FILE%?}" --json
		code 4 && json reason not-confirmed && says err "will overwrite" || return 1
		# shellcheck disable=SC2086 # words
		run $words --json < /dev/null
		code 4 && json reason not-confirmed && says out "--yes-overwrite=$FILE" || return 1
	done
	cmp "$FILE" "$TMP/before"
}

# The range changes, and nothing else does.
benches_writes() {
	make_file 300001
	cp "$FILE" "$TMP/before"
	run bench "$FILE" --direction read,write --start 10 --count 500 --paths ioctl,read-fixed,uring-cmd \
		--size 512,4K --depth 1,8 --ios 200 --buffer udmabuf --json --yes-overwrite="$FILE"
	code 0 && json results.0.state measured && json results.12.direction write &&
		json results.12.state measured && json results.14.reason file && json failed 0 &&
		says err "NOT put back" || return 1
	cmp <(head -c 5120 "$FILE") <(head -c 5120 "$TMP/before") &&
		cmp <(tail -c +261121 "$FILE") <(tail -c +261121 "$TMP/before") &&
		! cmp -s "$FILE" "$TMP/before" || return 1
	# The last block is one in part.
	refused 1 outside-namespace bench "$FILE" --direction write --start 580 --count 6
}

wrong_writes_not_measured() {
	make_file 100000
	PRETEND_LOSE=5 run bench "$FILE" --direction write --start 1 --count 100 --paths ioctl --depth 1 --ios 10 \
		--buffer udmabuf --json --yes-overwrite="$FILE"
	code 1 && json reason wrong-data && json measured 0
}

# Memory of a device that the CPU does not see, with the kernel's own ENOTSUPP, as NVIDIA's driver
# says, or another error. No subcommand says that the data were wrong.
not_seen() {
	local error words
	make_file 100000
	cp "$FILE" "$TMP/before"
	for error in 524:ENOTSUPP 1:EPERM; do
		for words in "read $FILE -o $TMP/not" "write $FILE -i VERSION" "bench $FILE --ios 10"; do
			# shellcheck disable=SC2086 # words
			PRETEND_UNMAPPED=${error%:*} refused 1 no-cpu-mapping $words --buffer cuda:1 &&
				says out "a buffer of cuda:1" && says out "does not let the CPU map it" &&
				says out "${error#*:}" || return 1
		done
		PRETEND_UNMAPPED=${error%:*} run selftest "$FILE" --write --start 0 --count 10 \
			--buffer cuda:1 --json --yes-overwrite="$FILE"
		code 1 && json reason nothing-tested && json results.0.part cuda:1 && json skipped 2 && json failed 0 &&
			says out "does not let the CPU map it" && says out "with cuda:1" || return 1
	done
	cmp "$FILE" "$TMP/before"
}

# Each error of a GPU's exporter says what to do, whichever subcommand asks: EXPORTER, its number,
# and what is said.
gpu_hints() {
	local kind error text
	make_file 100000
	while read -r kind error text; do
		PRETEND_NOBUFFER=$error refused 1 no-buffer read "$FILE" -o "$TMP/not" --buffer "$kind" &&
			says out "$text" || return 1
		PRETEND_NOBUFFER=$error run selftest "$FILE" --buffer "$kind" --json
		code 1 && json reason selftest-failed && says out "$text" || return 1
	done <<-EOF
	cuda 79 install libcuda.so.1
	cuda:3 38 CUDA 11.7 (driver 515) or later
	cuda:3 19 nvidia-smi -L
	cuda 95 open kernel modules
	cuda 12 try a smaller one
	cuda 5 does 'nvidia-smi' work?
	hip 79 install libhsa-runtime64.so.1
	hip 38 libhsa-runtime64.so.1 is too old
	hip:1 19 rocminfo
	hip 95 KFD 1.12
	hip 12 try a smaller one
	hip 5 does 'rocminfo' work?
	ze:0 79 install libze_loader.so.1
	ze 38 libze_loader.so.1 is too old
	ze 19 Intel's compute runtime
	ze 95 exports no dma-bufs
	ze 12 try a smaller one
	EOF
}

# Random places need blocks that are all there.
measured_holes() {
	make_sparse
	refused 4 file-hole bench "$FILE" --ios 10 --buffer udmabuf &&
		says out "hole at block 128" &&
		refused 4 file-hole bench "$FILE" --direction write --start 0 --count 200 &&
		refused 4 file-hole selftest "$FILE" --buffer udmabuf &&
		refused 4 file-hole selftest "$FILE" --write --start 0
}

too_small() {
	make_file 511
	refused 4 too-small selftest "$FILE" --buffer udmabuf &&
		refused 1 outside-namespace bench "$FILE" --buffer udmabuf
}

check "whole files" whole_files
check "an empty file" empty_file
check "parts of a file" parts
check "blocks and bytes that are not there" outside
check "to a pipe" to_pipe
make_sparse
run info "$FILE" --json
if json namespaces.0.file.holes true > /dev/null; then
	check "holes" holes
	check "nothing but a hole" only_a_hole
	check "holes cannot be measured" measured_holes
	check "info" infos
	check "holes are filled" fills_holes
else
	skip "holes" "this file system makes none"
fi
check "blocks that were never written" unwritten
check "a last block that is refused" tail_refused
check "the map is shown" shows_map
check "somebody else has it open for writing" busy
check "somebody changes it" changed
check "onto itself" onto_itself
check "a file that is not there" missing
check "not on XFS or ext4" reason_tells 48 file-system
check "open for writing" reason_tells 50 file-busy
check "with shared blocks" reason_tells 54 file-shared
check "a name without a path" names
check "written" written
check "written behind its end" grows
check "written from a pipe" from_pipe
check "not written" not_written
check "blocks that cannot be written" unwritten_not_written
check "peers" of_peers
check "the end is read back" end_is_verified
make_file 3000001
if dd if="$FILE" of=/dev/null bs=4096 count=1 iflag=direct status=none 2> /dev/null; then
	check "selftest" selftests
	check "bench" benches
	check "selftest with writing" selftests_with_writes
	check "selftest of a drive that writes wrong" wrong_writes
	check "bench with writing" benches_writes
	check "bench of a drive that writes wrong" wrong_writes_not_measured
	check "writing that nobody agrees to" unconfirmed
	check "no whole block" too_small
	check "memory that the CPU does not see" not_seen
	check "what a GPU's exporter lacks" gpu_hints
else
	skip "selftest and bench" "no O_DIRECT on this file system"
fi

done_testing

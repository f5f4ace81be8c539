#!/bin/bash
# SPDX-License-Identifier: MIT
#
# This test will check that fio writes and verifies through its engine, by both
# front ends, polled and not; that the block layer reads what the engine wrote and
# the engine what the block layer wrote; and that a block which is not as written
# is found. It DESTROYS the data of the test machine's drives, so it runs only in
# a virtual machine of tests/vm/run, after build.t:
#
#   tests/vm/run --kernel 7.x -- tests/fio/fio.t
#
#   NVME_DMABUF_MODULE=KO   module to load (build/SERIES/nvme_dmabuf.ko)
#   FIO=FILE, ENGINE=FILE   another fio, and the engine built for it

# shellcheck source-path=SCRIPTDIR
# shellcheck disable=SC2317 # functions are called through check
. "$(dirname "$0")/../abi/tap.sh"

[ -n "${VM_SERIES-}" ] || { echo "1..0 # SKIP not in a virtual machine of tests/vm/run"; exit; }

FIO=${FIO:-$PWD/build/tests/fio/fio}
ENGINE=${ENGINE:-$PWD/build/userlib/fio-nvme-dmabuf.so}
EXAMPLE=$PWD/userlib/fio/nvme-dmabuf.fio
NS=$(tests/vm/guest-drives PLAIN512)
NS4K=$(tests/vm/guest-drives PLAIN4K)
ERR=$(tests/vm/guest-drives ERR)
[ -e /sys/module/nvme_dmabuf ] || insmod "${NVME_DMABUF_MODULE:-build/$VM_SERIES/nvme_dmabuf.ko}" ||
	{ echo "Bail out! cannot load the module"; exit 1; }
echo 16 > /proc/sys/vm/nr_hugepages
modprobe vivid n_devs=1 node_types=0x1	# a camera without hardware
cd "$TMP" || exit 1

# exporters: what this kernel has, as exporter= names it
exporters() {
	local card camera
	if [ -e /dev/udmabuf ]; then echo udmabuf; echo huge; fi
	if [ -e /dev/dma_heap/system ]; then echo heap:system; fi
	for card in /dev/dri/card*; do
		if [ -e "$card" ]; then echo "drm:$card"; fi
	done
	for camera in /dev/video*; do
		if [ -e "$camera" ]; then echo "v4l2:$camera"; fi
	done
}
EXPORTER=$(exporters | head -n 1)

# fio OPTION...: its output to $TMP/out, and shown if it fails
fio() {
	timeout -k 5 120 "$FIO" --output="$TMP/out" "$@" 2> "$TMP/err" && return
	cat "$TMP/err" "$TMP/out"
	return 1
}

# What a job writes and where depends on these alone, not on who does it. Without
# verify_fatal some versions forget an error if the end of the same I/O is right.
JOB=(--name=job --rw=randwrite --bsrange=512-64k --size=4m --direct=1 --randrepeat=1
	--verify=crc32c --verify_fatal=1 --verify_state_save=0)

# ours OPTION...: by the engine, on $ON or the first drive
ours() {
	fio "${JOB[@]}" --ioengine="external:$ENGINE" --exporter="$EXPORTER" --iodepth=32 \
		--filename="${ON:-$NS}" "$@"
}

# kernels OPTION...: by the block layer
kernels() {
	fio "${JOB[@]}" --ioengine=psync --filename="${ON:-$NS}" "$@"
}

# No test must find what an earlier one wrote.
erase() {
	dd if=/dev/zero of="$NS" bs=1M count=16 oflag=direct status=none
}

# fails_saying TEXT COMMAND...: in good order
fails_saying() {
	local text=$1
	shift
	if "$@" > "$TMP/said"; then
		echo "succeeded"
		cat "$TMP/out"
		return 1
	fi
	grep -qF -- "$text" "$TMP/said" && ! grep "got signal" "$TMP/said" && return
	echo "does not say '$text':"
	cat "$TMP/said"
	return 1
}

written_and_verified() {
	erase && ours "$@" && kernels --verify_only
}

# interrupts: of the drives' I/O queues
interrupts() {
	awk '/ nvme[0-9]+q[1-9]/ { for (i = 2; i <= NF && $i ~ /^[0-9]+$/; i++) sum += $i }
		END { print sum + 0 }' /proc/interrupts
}

# Hundreds of completions, and no interrupts but those of attaching.
polled() {
	local before after
	erase
	before=$(interrupts)
	ours --polled=1 "$@" || return
	after=$(interrupts)
	echo "$((after - before)) interrupts"
	((after - before < 50)) && kernels --verify_only
}

written_by_kernel() {
	erase && kernels --do_verify=0 && ours --verify_only "$@"
}

corrupt_block() {
	erase && ours --do_verify=0 && ours --verify_only || return
	printf 'not this' | dd of="$NS" bs=1 seek=$((1234 * 512 + 300)) conv=notrunc,fsync status=none
	fails_saying "crc32c: verify failed" ours --verify_only &&
		fails_saying "crc32c: verify failed" kernels --verify_only
}

# every_exporter: each that this kernel has, on a drive with larger blocks, and some of the
# I/O longer than a command may be
every_exporter() {
	local exporter ON=$NS4K large=(--bsrange=4k-3m --size=16m)
	for exporter in $(exporters); do
		echo "$exporter"
		ours "${large[@]}" --iodepth=4 --exporter="$exporter" || return
		kernels "${large[@]}" --verify_only || return
	done
}

# Each job writes a part of each drive, and each process has a buffer of its own.
several_drives() {
	local ON=$NS:$NS4K several=(--bsrange=4k-64k --numjobs=2 --offset_increment=8m)
	ours "${several[@]}" "$@" && kernels "${several[@]}" --verify_only
}

# Flushes are counted apart.
flushes() {
	ours --fsync=8 --fdatasync=5 --end_fsync=1 --sync=1 --output-format=json &&
		perl -MJSON::PP -e 'exit !(decode_json(join "", <STDIN>)->{jobs}[0]{sync}{total_ios} > 10)' \
			< "$TMP/out"
}

# More than the queue takes at once must be asked for again.
batches() {
	ours --iodepth=256 --iodepth_batch=64 --iodepth_batch_complete_min=16 --iodepth_batch_complete_max=64
}

# A log whose blocks become larger makes fio free its memory, and allocate it anew, while
# it has the drive open.
replay() {
	local i
	{
		echo "fio version 2 iolog"
		echo "$NS add"
		echo "$NS open"
		for ((i = 0; i < 64; i++)); do
			echo "$NS write $((i * 65536)) $((i < 48 ? 4096 : 65536))"
		done
		echo "$NS close"
	} > "$TMP/log"
	fio --name=replay --ioengine="external:$ENGINE" --exporter="$EXPORTER" --iodepth=8 \
		--read_iolog="$TMP/log" --read_iolog_chunked=1 --buffer_pattern=0x6e &&
		dd if="$NS" bs=64k skip=48 count=16 iflag=direct status=none | tr -d n > "$TMP/rest" &&
		! grep -q . "$TMP/rest"
}

# Two of its jobs, for a second each. It does not write.
example() {
	local before
	sed -e 's/^runtime=.*/runtime=1/' -e "s|^exporter=.*|exporter=$EXPORTER|" "$EXAMPLE" > "$TMP/job"
	before=$(dd if="$NS" bs=1M count=16 iflag=direct status=none | sha256sum)
	NVME=$NS ENGINE=$ENGINE fio "$TMP/job" --section=ioctl-polled --section=block-layer &&
		[ "$(dd if="$NS" bs=1M count=16 iflag=direct status=none | sha256sum)" = "$before" ]
}

# This drive fails reads of its block 2048.
error() {
	local ON=$ERR
	fails_saying "NVMe status 0x" ours --rw=read --bsrange=64k-64k --verify=0 "$@" &&
		grep -F "error=Input/output error" "$TMP/said"
}

# refused TEXT OPTION...
refused() {
	local text=$1
	shift
	fails_saying "$text" ours "$@"
}

# on_file TYPE OPTION...: a file of a file system, which fio has laid out
on_file() {
	local type=$1 ON=$TMP/mounted/file status=0
	shift
	mkdir -p "$TMP/mounted"
	"mkfs.$type" -q "$NS" && mount -t "$type" "$NS" "$TMP/mounted" || return 1
	ours --overwrite=1 --fallocate=none "$@" && kernels --verify_only=1 &&
		ours --rw=randread --verify_only=1 && [ ! -s "$TMP/err" ] || status=1
	umount "$TMP/mounted" && wipefs -qa "$NS" && return "$status"
}

# Each opens the file for a moment, which the others must get over. None verifies, for that
# would keep it open.
several_jobs() {
	local ON=$TMP/mounted/file parts=(--numjobs=2 --offset_increment=4m --filesize=8m) status=0
	mkfs.ext4 -q "$NS" && mount -t ext4 "$NS" "$TMP/mounted" || return 1
	ours --overwrite=1 --fallocate=none --do_verify=0 "${parts[@]}" &&
		kernels --verify_only=1 "${parts[@]}" || status=1
	umount "$TMP/mounted" && wipefs -qa "$NS" && return "$status"
}

# Blocks that the file does not have are not written.
sparse_file() {
	local ON=$TMP/mounted/file status=0
	mkfs.ext4 -q "$NS" && mount -t ext4 "$NS" "$TMP/mounted" || return 1
	refused "a hole" --fallocate=truncate || status=1
	umount "$TMP/mounted" && wipefs -qa "$NS" && return "$status"
}

other_file_system() {
	local ON=$TMP/file
	refused "other than XFS and ext4" --direct=0
}

parts_of_blocks() {
	local ON=$NS4K
	refused "block size"
}

check "writes by ioctl" written_and_verified --frontend=ioctl
check "writes by io_uring" written_and_verified --frontend=uring
check "writes by ioctl, polled" polled --frontend=ioctl
check "writes by io_uring, polled" polled --frontend=uring
check "reads by ioctl what the block layer wrote" written_by_kernel --frontend=ioctl
check "reads by io_uring what the block layer wrote" written_by_kernel --frontend=uring --hipri=1
check "finds a block that is not as written" corrupt_block
check "every exporter, 4096-byte blocks" every_exporter
check "several drives, processes" several_drives
check "several drives, threads" several_drives --thread=1 --frontend=uring
check "flushes" flushes
check "submits and reaps in batches" batches
check "replays a log" replay
check "the example" example
check "a drive that fails, by ioctl" error --frontend=ioctl
check "a drive that fails, by io_uring" error --frontend=uring
if command -v mkfs.ext4 > /dev/null; then
	check "writes to a file, by ioctl" on_file ext4 --frontend=ioctl
	check "writes to a file, by io_uring" on_file ext4 --frontend=uring
	check "several jobs write to a file" several_jobs
	check "refuses to write to holes" sparse_file
else
	skip "writes to a file" "no mkfs.ext4 here"
fi
check "refuses files of other file systems" other_file_system
check "refuses trims" refused "no trims" --rw=randtrim
check "refuses trims among writes" refused "no trims" --trim_percentage=10 --trim_backlog=4
check "refuses an exporter that there is not" refused "exporter=heap:none" --exporter=heap:none
check "refuses an exporter of no known name" refused "exporter=none" --exporter=none
check "refuses too many commands in flight" refused "no queue with iodepth" --iodepth=1000000 --bsrange=512-512
check "refuses parts of blocks" parts_of_blocks
done_testing

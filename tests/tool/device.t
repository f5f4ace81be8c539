#!/bin/bash
# SPDX-License-Identifier: MIT
#
# This test will check that the tool's read and write move the right bytes, that
# they and bench refuse what would hurt someone, and that bench measures by every
# path what moves the right data, and nothing else. It DESTROYS the data of the test
# machine's drives, so it runs only in a virtual machine of tests/vm/run:
#
#   tests/vm/run --kernel 6.12 -- tests/tool/device.t
#
#   NVME_DMABUF_MODULE=KO   module to load (build/SERIES/nvme_dmabuf.ko)

# shellcheck source-path=SCRIPTDIR
# shellcheck disable=SC2317 # functions are called through check
# shellcheck disable=SC2162 # 'run read' is not the shell's read
# shellcheck disable=SC2034 # code looks at RC
. "$(dirname "$0")/tool.sh"

[ -n "${VM_SERIES-}" ] || { echo "1..0 # SKIP not in a virtual machine of tests/vm/run"; exit; }

NS=$(tests/vm/guest-drives PLAIN512)
NS4K=$(tests/vm/guest-drives PLAIN4K)
[ -e /sys/module/nvme_dmabuf ] || insmod "${NVME_DMABUF_MODULE:-build/$VM_SERIES/nvme_dmabuf.ko}" ||
	{ echo "Bail out! cannot load the module"; exit 1; }
echo 16 > /proc/sys/vm/nr_hugepages
MIB=$((1024 * 1024))

# on_drive NAMESPACE BLOCK BLOCKS: what the block layer reads, to stdout
on_drive() {
	local bs
	bs=$(blockdev --getss "$1")
	dd if="$1" bs="$bs" skip="$2" count="$3" iflag=direct status=none
}

# put FILE NAMESPACE BLOCK: by the block layer
put() {
	local bs
	bs=$(blockdev --getss "$2")
	dd if="$1" of="$2" bs="$bs" seek="$3" oflag=direct status=none
}

random() {
	head -c "$1" /dev/urandom > "$2"
}

sha256() {
	sha256sum < "$1" | cut -d' ' -f1
}

# What programmers start from: the examples, and the program in the README.
examples_read() {
	"$USERLIB/examples/read-blocks" "$NS" > "$TMP/got" && on_drive "$NS" 0 128 | cmp - "$TMP/got" &&
		"$USERLIB/examples/read-queue" "$NS" > "$TMP/got" && on_drive "$NS" 0 8192 | cmp - "$TMP/got"
}

readme_reads() {
	# shellcheck disable=SC2016 # backticks of the text
	sed -n '/^```c$/,/^```$/{/^```/!p}' README.md > "$TMP/example.c"
	"$CC" -Iuapi -Iuserlib/include -o "$TMP/example" "$TMP/example.c" "$USERLIB/libnvmedmabuf.a" &&
		[ "$("$TMP/example" "$NS")" = "first byte: $(on_drive "$NS" 0 1 | od -An -tx1 -N1 | xargs)" ]
}

# refused CODE REASON WORD...: fails with this exit code, and this reason in JSON
refused() {
	local code=$1 reason=$2
	shift 2
	run "$@" --json
	code "$code" && empty err && json reason "$reason"
}

# ----- read

read_file() {
	run read "$1" --start "$2" --count "$3" -o "$TMP/got" --json "${@:4}"
	code 0 && json complete true && json sha256 "$(sha256 "$TMP/got")" &&
		on_drive "$1" "$2" "$3" | cmp - "$TMP/got"
}

read_part_of_block() {
	run read "$NS" --bytes 1000001 --start 3 -o "$TMP/got" --json
	code 0 && json bytes 1000001 && json blocks 1954 && json bytes_padded 447 &&
		on_drive "$NS" 3 1954 | head -c 1000001 | cmp - "$TMP/got"
}

read_to_pipe() {
	"$NVME_DMABUF" read "$NS" --count 5000 2> "$TMP/err" | cat > "$TMP/got"
	on_drive "$NS" 0 5000 | cmp - "$TMP/got" && says err "sha256 $(sha256 "$TMP/got")"
}

read_closed_pipe() {
	local codes
	"$NVME_DMABUF" read "$NS" --bytes 64M 2> "$TMP/err" | head -c 1 > "$TMP/out"
	codes=("${PIPESTATUS[@]}")
	[ "${codes[0]}" = 1 ] && says err "Broken pipe"
}

read_what_is_in_the_page_cache() {
	random 4096 "$TMP/new"
	dd if="$TMP/new" of="$NS" bs=4096 seek=100 conv=notrunc status=none
	run read "$NS" --start 800 --count 8 -o "$TMP/got"
	code 0 && cmp "$TMP/new" "$TMP/got"
}

read_beyond() {
	local blocks
	blocks=$(blockdev --getsz "$NS")
	rm -f "$TMP/no"
	refused 1 outside-namespace read "$NS" --start $((blocks - 1)) --count 2 -o "$TMP/no" &&
		refused 1 outside-namespace read "$NS" --start 18446744073709551615 --bytes 16777215T -o "$TMP/no" &&
		[ ! -e "$TMP/no" ] &&
		read_file "$NS" $((blocks - 1)) 1
}

read_error() {
	local ns
	ns=$(tests/vm/guest-drives ERR)
	run read "$ns" --start 2000 --count 100 -o "$TMP/got" --json
	code 1 && json reason nvme-status && json nvme_status 641 && json complete false &&
		json sha256 null
}

# A chunk that fails leaves those before it.
read_until_error() {
	local ns
	ns=$(tests/vm/guest-drives ERR)
	run read "$ns" --start 1984 --count 100 --chunk 16K -o "$TMP/got" --json
	code 1 && json bytes 32768 && [ "$(stat -c %s "$TMP/got")" = 32768 ]
}

shows_map() {
	run read "$NS" --count 100 -o "$TMP/got" --show-map --json
	code 0 && json map.access read && json map.length 51200 &&
		json map.placement.0.kind host-ram || return 1
	run read "$NS" --count 100 -o "$TMP/got" --show-map
	code 0 && says out "memory of this host"
}

shows_progress() {
	run read "$NS" --count 100 -o "$TMP/got" --progress
	code 0 && says err "50 KiB of 50 KiB, 100 %"
}

# ----- write

# written NAMESPACE BLOCK FILE: the file, and zeroes up to the end of a block
written() {
	local bs size
	bs=$(blockdev --getss "$1")
	size=$(stat -c %s "$3")
	cp "$3" "$TMP/padded"
	truncate -s $(((size + bs - 1) / bs * bs)) "$TMP/padded"
	on_drive "$1" "$2" $(((size + bs - 1) / bs)) | cmp - "$TMP/padded"
}

write_file() {
	random "$3" "$TMP/new"
	run write "$1" --start "$2" -i "$TMP/new" --json "${@:4}"
	code 0 && json complete true && json sha256 "$(sha256 "$TMP/new")" &&
		json bytes "$3" && written "$1" "$2" "$TMP/new"
}

write_part() {
	random 10000 "$TMP/whole"
	run write "$NS" --start 20 -i "$TMP/whole" --count 7 --json
	head -c 3584 "$TMP/whole" > "$TMP/new"
	code 0 && json bytes 3584 && json sha256 "$(sha256 "$TMP/new")" && written "$NS" 20 "$TMP/new"
}

write_neighbours() {
	random $((300 * 512)) "$TMP/before"
	put "$TMP/before" "$NS" 4000
	random $((100 * 512)) "$TMP/new"
	run write "$NS" --start 4100 -i "$TMP/new"
	code 0 && on_drive "$NS" 4000 100 | cmp - <(head -c 51200 "$TMP/before") &&
		on_drive "$NS" 4200 100 | cmp - <(tail -c 51200 "$TMP/before")
}

write_verified() {
	write_file "$NS" 7 $((6 * MIB)) --verify && json verified true
}

# The page cache must neither hide what was written nor write over it.
write_below_page_cache() {
	random 4096 "$TMP/old"
	random 4096 "$TMP/new"
	dd if="$NS" bs=4096 skip=200 count=1 status=none > "$TMP/x"
	dd if="$TMP/old" of="$NS" bs=4096 seek=200 conv=notrunc status=none
	run write "$NS" --start 1600 -i "$TMP/new"
	code 0 && sync && dd if="$NS" bs=4096 skip=200 count=1 status=none | cmp - "$TMP/new" &&
		written "$NS" 1600 "$TMP/new"
}

write_from_pipe() {
	random $((5 * MIB)) "$TMP/new"
	dd if="$TMP/new" bs=1000 status=none |
		"$NVME_DMABUF" write "$NS" -i - --start 0 --bytes 5M > "$TMP/out" 2> "$TMP/err"
	RC=$?
	code 0 && written "$NS" 0 "$TMP/new"
}

write_from_endless_input() {
	head -c 1000 /dev/zero > "$TMP/new"
	run write "$NS" -i /dev/zero --start 5 --bytes 1000 --pad
	code 0 && written "$NS" 5 "$TMP/new"
}

write_pipe_of_unknown_length() {
	true | "$NVME_DMABUF" write "$NS" -i - --start 0 > "$TMP/out" 2> "$TMP/err"
	RC=$?
	code 2 && says err "--count or --bytes"
}

write_pipe_that_ends() {
	head -c $((3 * MIB)) /dev/zero |
		"$NVME_DMABUF" write "$NS" -i - --start 0 --bytes 5M --chunk 1M --json > "$TMP/out" 2> "$TMP/err"
	RC=$?
	code 1 && json reason input-short && json bytes $((3 * MIB)) && json complete false
}

# unchanged COMMAND...: the first MiB of the namespace stays
unchanged() {
	local code before
	before=$(on_drive "$NS" 0 2048 | sha256sum)
	"$@"
	code=$?
	[ "$before" = "$(on_drive "$NS" 0 2048 | sha256sum)" ] && return "$code"
	echo "the namespace was written to"
	return 1
}

write_odd() {
	random 1000 "$TMP/new"
	refused 1 block-multiple write "$NS" --start 0 -i "$TMP/new"
}

write_short() {
	random 1024 "$TMP/new"
	refused 1 input-short write "$NS" --start 0 --count 3 -i "$TMP/new" &&
		refused 1 input-short write "$NS" --start 0 --count 4 --pad -i "$TMP/new" &&
		refused 1 input-short write "$NS" --start 0 --bytes 1536 -i "$TMP/new"
}

write_empty() {
	: > "$TMP/new"
	refused 1 input-empty write "$NS" --start 0 -i "$TMP/new"
}

write_beyond() {
	random 1024 "$TMP/new"
	refused 1 outside-namespace write "$NS" -i "$TMP/new" --start $(($(blockdev --getsz "$NS") - 1))
}

write_error() {
	local ns
	ns=$(tests/vm/guest-drives ERR)
	random 65536 "$TMP/new"
	run write "$ns" --start 4000 -i "$TMP/new" --json
	code 1 && json reason nvme-status && json nvme_status 640 && json complete false
}

# ----- what must not be written to

write_one() {
	random 512 "$TMP/new"
	refused 4 "$1" write "$2" --start 0 -i "$TMP/new"
}

# Known to the kernel only: there is no table on the drive.
partition() {
	addpart "$NS" 1 2048 65536 && addpart "$NS" 2 67584 65536 && [ -b "${NS}p2" ]
}

partition_is_relative() {
	random $((65536 * 512)) "$TMP/new"
	run write "${NS}p1" --start 0 -i "$TMP/new" --json
	code 0 && written "$NS" 2048 "$TMP/new" || return 1
	refused 1 outside-namespace write "${NS}p1" --start 1 -i "$TMP/new" || return 1
	run read "${NS}p1" --start 10 --count 10 -o "$TMP/got"
	code 0 && on_drive "$NS" 2058 10 | cmp - "$TMP/got"
}

mounted() {
	mkdir -p "$TMP/a b"
	mkfs.ext4 -q "${NS}p1" && mount "${NS}p1" "$TMP/a b" || return 1
	write_one mounted "${NS}p1" && json in_use.0.detail "$TMP/a b" &&
		write_one mounted "$NS" && json in_use 3
}

write_forced() {
	run read "${NS}p1" --start 0 --count 8 -o "$TMP/same"
	code 0 || return 1
	run write "${NS}p1" --start 0 -i "$TMP/same" --force
	code 0 && says err "warning: --force given, although ${NS##*/}p1 is mounted" || return 1
	run write "${NS}p1" --start 0 -i "$TMP/same" --force --json
	code 0 && json forced.0.reason mounted
}

selftest_mounted() {
	run selftest "${NS}p1" --rounds 4 --json
	code 0 || return 1
	refused 4 mounted selftest "${NS}p1" --write --start 0 --yes-overwrite=PLAIN512
}

bench_mounted() {
	bench "${NS}p1" --depth 4 && all_measured 1 || return 1
	refused 4 mounted bench "${NS}p1" --direction write --start 0 --count 8 --yes-overwrite=PLAIN512 &&
		refused 4 mounted bench "$NS" --direction write --start 0 --count 8 --yes-overwrite=PLAIN512
}

swap() {
	umount "${NS}p1" && mkswap -q "${NS}p2" && swapon "${NS}p2" || return 1
	write_one swap "${NS}p2"
	local code=$?
	swapoff "${NS}p2"
	return "$code"
}

held() {
	modprobe dm_mod
	echo "0 2048 linear ${NS}p2 0" | dmsetup create held || return 1
	write_one held "${NS}p2"
	local code=$?
	dmsetup remove held
	return "$code"
}

claimed() {
	perl -e 'use Fcntl; $| = 1; sysopen(my $f, shift, O_RDONLY | O_EXCL) or die $!;
		print "here\n"; sleep 60' "$NS4K" > "$TMP/claim" &
	local pid=$! code
	until [ -s "$TMP/claim" ]; do sleep 0.1; done
	write_one in-use "$NS4K"
	code=$?
	kill "$pid"
	wait "$pid" 2> "$TMP/x"
	return "$code"
}

read_only() {
	blockdev --setro "$NS"
	write_one read-only "$NS" && refused 4 read-only selftest "$NS" --write --start 0 &&
		refused 4 read-only bench "$NS" --direction write --start 0 --count 8
	local code=$?
	blockdev --setrw "$NS"
	return "$code"
}

wiped() {
	delpart "$NS" 1 && delpart "$NS" 2 && write_file "$NS" 0 4096
}

# unusable SERIAL REASON: info, peers, read and write say the same
unusable() {
	local ns
	ns=$(tests/vm/guest-drives "$1") || return 1
	refused 4 "$2" info "$ns" && json namespaces.0.usable false && json namespaces.0.reason "$2" &&
		refused 4 "$2" peers "$ns" &&
		refused 4 "$2" read "$ns" --count 1 -o "$TMP/x" &&
		write_one "$2" "$ns"
}

# What sysfs says of polled queues is what info says.
info_of_queues() {
	local text=no value=false
	if grep -qx 1 "/sys/class/block/${NS##*/}/queue/io_poll"; then
		text=yes value=true
	fi
	run info "$NS" --json
	code 0 && json namespaces.0.polled_queues "$value" && json module.features.io_uring true &&
		json module.limits.max_queues 256 && json module.limits.max_depth 4096 || return 1
	run info "$NS"
	code 0 && says out "polled queues: $text" && says out "io_uring: yes" && says out "256 queues"
}

not_permitted() {
	cp "$NVME_DMABUF" "$TMP/tool"
	chmod 755 "$TMP" "$TMP/tool"
	setpriv --reuid=65534 --regid=65534 --clear-groups "$TMP/tool" info --json > "$TMP/out" 2> "$TMP/err"
	RC=$?
	code 3 && json reason no-permission && json error unavailable
}

# The module's device alone is of no use.
namespace_not_permitted() {
	chmod 666 /dev/nvme-dmabuf
	setpriv --reuid=65534 --regid=65534 --clear-groups "$TMP/tool" read "$NS" --count 1 -o /dev/null --json > "$TMP/out" 2> "$TMP/err"
	RC=$?
	chmod 600 /dev/nvme-dmabuf
	code 4 && json reason no-permission
}

# ----- peers

peers_listed() {
	run peers "$NS" --json
	code 0 && empty err && json namespace "$NS" || return 1
	run peers "$NS"
	code 0 && says out "$NS: controller"
}

# A kernel without peer to peer has another reason.
peer_that_does_not_exist() {
	run peers "$NS" ff:1f.7 --json
	code 4 && json peers.0.pci_address 0000:ff:1f.7 && json peers.0.reachable false &&
		json peers.0.distance null && json error refused
}

# ----- signals

# A shell makes its background processes ignore SIGINT.
interruptible() {
	exec env --default-signal=INT "$NVME_DMABUF" "$@"
}

# interrupted SIGNAL WORD...: a slow copy ends, and says how far it got
interrupted() {
	local signal=$1 pid
	shift
	interruptible "$@" --json --progress > "$TMP/out" 2> "$TMP/err" &
	pid=$!
	until grep -q "iB of" "$TMP/err"; do
		kill -0 "$pid" || return 1
		sleep 0.1
	done
	kill -"$signal" "$pid"
	wait "$pid"
	RC=$?
	code 1 && json reason interrupted && json complete false
}

interrupted_read() {
	local ns
	ns=$(tests/vm/guest-drives SLOW)
	interrupted "$1" read "$ns" --bytes 32M --chunk 64K -o "$TMP/got" &&
		json bytes "$(stat -c %s "$TMP/got")"
}

interrupted_write() {
	local ns
	ns=$(tests/vm/guest-drives SLOW)
	random $((32 * MIB)) "$TMP/new"
	interrupted "$1" write "$ns" -i "$TMP/new" --start 0 --chunk 64K &&
		[ "$(perl -MJSON::PP -e 'print decode_json(join "", <>)->{bytes}' "$TMP/out")" -gt 0 ]
}

# Nothing comes: the signal must end the read(2) of the pipe.
interrupted_while_waiting() {
	mkfifo "$TMP/fifo"
	sleep 30 > "$TMP/fifo" &
	local pid sleeper=$!
	interruptible write "$NS" -i "$TMP/fifo" --start 0 --bytes 1M --json > "$TMP/out" 2> "$TMP/err" &
	pid=$!
	# It waits in system call 0, read.
	until grep -q '^0 ' "/proc/$pid/syscall"; do sleep 0.1; done
	kill -INT "$pid"
	wait "$pid"
	RC=$?
	kill "$sleeper"
	code 1 && json reason interrupted && json bytes 0
}

# ----- selftest

selftest() {
	run selftest "$1" --rounds 6 --seed 1 --json "${@:2}"
	code 0 && json failed 0 && json seed 1
}

# It can only be read; some commands cross the end of a zone, of 1024 blocks.
zoned() {
	local ns
	ns=$(tests/vm/guest-drives ZONED)
	random $((8 * MIB)) "$TMP/zones"
	put "$TMP/zones" "$ns" 0
	read_file "$ns" 1000 100 && selftest "$ns" --rounds 32 &&
		selftest "$ns" --write --start 0 --yes-overwrite=ZONED &&
		says out "a zoned namespace can only be read" &&
		refused 4 zoned bench "$ns" --direction write --start 0 --count 8 --yes-overwrite=ZONED &&
		refused 1 zoned write "$ns" --start 0 -i "$TMP/zones" || return 1
	# By passthrough, 12 blocks from block 1020 on are too many.
	run bench "$ns" --start 0 --count 2040 --size 48K --ios 400 --depth 4 --json
	code 0 && run info "$ns" --json && code 0 && json namespaces.0.zoned true
}

selftest_is_tap() {
	"$NVME_DMABUF" selftest "$NS" --rounds 2 > "$TMP/selftest" && prove -Q --exec cat "$TMP/selftest"
}

selftest_write() {
	random $((8 * MIB)) "$TMP/before"
	put "$TMP/before" "$1" 0
	run selftest "$1" --rounds 4 --json --write --start 100 --count 200 --save "$TMP/saved.$2" --yes-overwrite="$2"
	code 0 && json failed 0 && says err "serial $2" && says err "blocks        100 to 299" &&
		says err "looks like" || return 1
	on_drive "$1" 0 $((8 * MIB / $(blockdev --getss "$1"))) | cmp - "$TMP/before" &&
		on_drive "$1" 100 200 | cmp - "$TMP/saved.$2"
}

selftest_unconfirmed() {
	refused_with_stderr not-confirmed selftest "$NS" --write --start 0 --yes-overwrite=OTHER &&
		refused_with_stderr not-confirmed selftest "$NS" --write --start 0 < /dev/null
}

# What will be overwritten is shown on stderr even with --json.
refused_with_stderr() {
	local reason=$1
	shift
	run "$@" --json
	code 4 && json reason "$reason" && says err "will overwrite"
}

# answered ANSWER CODE WORD...: on a terminal, a person types it
answered() {
	{ sleep 2; echo "$1"; sleep 5; } |
		script -qec "$NVME_DMABUF ${*:3}" /dev/null > "$TMP/typed"
	RC=$?
	cp "$TMP/typed" "$TMP/out"
	code "$2"
}

# The slow drive makes the part that writes last for some seconds.
selftest_interrupted() {
	local ns pid
	ns=$(tests/vm/guest-drives SLOW)
	random 512000 "$TMP/before"
	put "$TMP/before" "$ns" 0
	interruptible selftest "$ns" --write --start 0 --count 1000 --rounds 12 --buffer drm \
		--yes-overwrite=SLOW > "$TMP/out" 2> "$TMP/err" &
	pid=$!
	while on_drive "$ns" 0 1000 | cmp -s - "$TMP/before"; do
		kill -0 "$pid" || break
	done
	kill -INT "$pid"
	wait "$pid"
	RC=$?
	code 1 && says out "are back" && on_drive "$ns" 0 1000 | cmp - "$TMP/before"
}

# ----- bench

# bench NAMESPACE WORD...: a short one
bench() {
	run bench "$1" --ios 64 --json "${@:2}"
}

# bench_write NAMESPACE SERIAL WORD...
bench_write() {
	bench "$1" --yes-overwrite="$2" --direction write "${@:3}" && says err "NOT put back"
}

# measured PATH...: exactly so, one result after the other, of 64 commands each that
# succeeded, with figures that can be true; a path that was skipped is PATH=REASON.
measured() {
	code 0 && figures "$@" && json failed 0
}

# all_measured N: the same for all paths, N times
all_measured() {
	local i paths=()
	for ((i = 0; i < $1; i++)); do paths+=(ioctl uring read-fixed uring-cmd); done
	measured "${paths[@]}"
}

figures() {
	perl -MJSON::PP -e '
		my @results = @{decode_json(join "", <STDIN>)->{results}};
		@results == @ARGV or die scalar @results, " results instead of ", scalar @ARGV, "\n";
		for my $r (@results) {
			my ($path, $reason) = split /=/, shift @ARGV;
			my $what = "$r->{path} of $r->{size} bytes, depth $r->{depth}";
			$r->{path} eq $path or die "$what instead of $path\n";
			if ($reason) {
				$r->{reason} eq $reason && !defined $r->{iops} && !defined $r->{latency_ns}
					or die "$what: $r->{state}, $r->{message}\n";
				next;
			}
			$r->{state} eq "measured" or die "$what: $r->{message}\n";
			$r->{ios} == 64 && $r->{errors} == 0 && @{$r->{error_kinds}} == 0
				or die "$what: $r->{ios} commands, $r->{errors} errors\n";
			my $l = $r->{latency_ns};
			my @order = @$l{qw(min p50 p90 p99 p99_9 p99_99 max)};
			"@order" eq join(" ", sort { $a <=> $b } @order) or die "$what: @order\n";
			$l->{min} > 0 && $l->{min} <= $l->{mean} && $l->{mean} <= $l->{max}
				or die "$what: mean $l->{mean}\n";
			$l->{max} <= $r->{elapsed_ns} or die "$what: longer than all\n";
			abs($r->{iops} - 64e9 / $r->{elapsed_ns}) <= 1 or die "$what: $r->{iops} IOPS\n";
			abs($r->{bytes_per_second} / (64e9 * $r->{size} / $r->{elapsed_ns}) - 1) < 0.01
				or die "$what: $r->{bytes_per_second} bytes a second\n";
		}
	' "$@" < "$TMP/out" && return
	head -n 60 "$TMP/out"
	return 1
}

bench_all() {
	bench "$1" --size 4K,128K --depth 1,8 --pattern random,sequential
	empty err && all_measured 8 && json measured 32 && json skipped 0
}

bench_through() {
	bench "$NS" --buffer "$1" --depth 8
	all_measured 1 && json buffer "$1" && json results.0.memory dma-buf
}

# Every result of one path stands next to the same of the others.
bench_order() {
	bench "$NS" --direction read --size 512,64K --depth 4,2 --paths uring,ioctl
	measured ioctl uring ioctl uring ioctl uring ioctl uring &&
		json results.1.size 512 && json results.1.depth 4 && json results.1.path uring &&
		json results.2.depth 2 && json results.4.size 65536
}

bench_compares() {
	bench "$NS" --depth 8
	all_measured 1 && json results.0.compared 2 && json results.1.compared 2 &&
		json results.0.compared.1.path uring-cmd && json results.2.compared 0 || return 1
	run bench "$NS" --ios 64 --depth 8 --progress
	code 0 && says out "ioctl to read-fixed: IOPS" && says out "emulated" &&
		says err "measurement 4 of 4: random read, 4 KiB, depth 8, by uring-cmd"
}

# The drive would move more than the blocks' data.
bench_metadata() {
	bench "$1"
	measured ioctl uring read-fixed uring-cmd=metadata ioctl uring read-fixed uring-cmd=metadata || return 1
	bench "$1" --paths uring-cmd
	code 1 && json reason nothing-measured && json measured 0
}

# Longer than one command may be: split by the module and by the block layer.
bench_long() {
	local ns
	ns=$(tests/vm/guest-drives SMALLMDTS)
	bench "$ns" --size 512K --depth 2
	measured ioctl uring read-fixed uring-cmd=refused && says out "the block layer's limits"
}

bench_small_range() {
	bench "$NS" --start 5 --count 8 --depth 8 --buffer-size 8M
	all_measured 1 && json start_lba 5 && json blocks 8 && json buffer_bytes $((8 * MIB)) &&
		refused 2 usage bench "$NS" --start 5 --count 7 &&
		refused 2 usage bench "$NS4K" --size 512 &&
		refused 1 outside-namespace bench "$NS" --start "$(blockdev --getsz "$NS")" &&
		refused 1 outside-namespace bench "$NS" --start 1 --count "$(blockdev --getsz "$NS")"
}

bench_timed() {
	run bench "$NS" --seconds 1 --depth 2 --json
	code 0 && json measured 4 && json results.3.state measured && json results.3.errors 0
}

bench_polled() {
	if [ "$(cat /sys/module/nvme/parameters/poll_queues)" = 0 ]; then
		refused 4 no-polled-queues bench "$NS" --polled && says out "nvme.poll_queues="
		return
	fi
	bench "$NS" --polled --size 4K,128K --depth 1,8
	all_measured 4 && json polled true
}

bench_without_generic_device() {
	local node=/dev/ng${NS#/dev/nvme} code
	mv "$node" "$TMP/ng"
	bench "$NS" --depth 1
	measured ioctl uring read-fixed uring-cmd=no-generic-device
	code=$?
	mv "$TMP/ng" "$node"
	return "$code"
}

bench_without_uring() {
	local code
	echo 2 > /proc/sys/kernel/io_uring_disabled
	bench "$NS" --depth 1
	measured ioctl uring=no-io-uring read-fixed=no-io-uring uring-cmd=no-io-uring &&
		says out "io_uring_disabled"
	code=$?
	echo 0 > /proc/sys/kernel/io_uring_disabled
	return "$code"
}

# The block layer reads something else than the drive has: then no path is trusted.
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
	LD_PRELOAD=$TMP/liar.so bench "$NS" --depth 1
	code 1 && json reason wrong-data && json measured 0 && json failed 4 &&
		json results.0.state failed && says out "differs from what pread reads at byte 4095 " &&
		figures ioctl=wrong-data uring=wrong-data read-fixed=wrong-data uring-cmd=wrong-data || return 1
	LD_PRELOAD=$TMP/liar.so run bench "$NS" --ios 64 --depth 1
	code 1 && ! grep -E 'ioctl +[0-9]' "$TMP/out"
}

# One block of 1024 places: the seed leads the comparison past it.
bench_errors() {
	local ns
	ns=$(tests/vm/guest-drives ERR)
	run bench "$ns" --start 0 --count 8192 --ios 1024 --pattern sequential --depth 4 --seed 1 --json
	code 1 && json reason io-errors && json measured 4 && json failed 4 || return 1
	for i in 0 1 3; do
		json "results.$i.error_kinds.0.nvme_status" 641 || return 1
	done
	json results.2.error_kinds.0.errno ENODATA && json results.2.error_kinds.0.nvme_status null &&
		json results.0.ios 1023 && json results.0.errors 1 || return 1
	bench "$ns" --start 2048 --count 8 --depth 1
	code 1 && json reason io-errors && json results.0.reason nvme-status && json results.0.iops null
}

# The range changes, and nothing else does.
bench_writes() {
	random $((4 * MIB)) "$TMP/before"
	put "$TMP/before" "$NS" 0
	bench_write "$NS" PLAIN512 --start 1001 --count 515 --size 512,4K,128K --depth 1,7 --pattern random,sequential
	all_measured 12 || return 1
	on_drive "$NS" 0 1001 | cmp - <(head -c $((1001 * 512)) "$TMP/before") &&
		on_drive "$NS" 1516 6676 | cmp - <(tail -c +$((1516 * 512 + 1)) "$TMP/before") &&
		! on_drive "$NS" 1001 515 | cmp -s - <(tail -c +$((1001 * 512 + 1)) "$TMP/before" | head -c $((515 * 512)))
}

# Blocks of a partition are counted from its own start, by every path.
bench_writes_to_partition() {
	random $((4 * MIB)) "$TMP/before"
	put "$TMP/before" "$NS" 0
	addpart "$NS" 1 2000 4000 || return 1
	bench_write "${NS}p1" PLAIN512 --start 10 --count 80 --direction read,write --depth 1,4
	all_measured 4
	local code=$?
	delpart "$NS" 1
	[ "$code" = 0 ] && on_drive "$NS" 0 2010 | cmp - <(head -c $((2010 * 512)) "$TMP/before") &&
		on_drive "$NS" 2090 6102 | cmp - <(tail -c +$((2090 * 512 + 1)) "$TMP/before")
}

# The same places and the same data.
bench_repeats() {
	local i
	for i in 1 2; do
		head -c $((MIB / 2)) /dev/zero > "$TMP/zeroes"
		put "$TMP/zeroes" "$NS" 0
		bench_write "$NS" PLAIN512 --start 0 --count 1024 --depth 1 --paths "$1" --seed 7
		measured "$1" && json seed 7 || return 1
		on_drive "$NS" 0 1024 > "$TMP/run$i"
	done
	cmp "$TMP/run1" "$TMP/run2" && ! cmp -s "$TMP/run1" "$TMP/zeroes"
}

bench_unconfirmed() {
	local words=(bench "$NS" --direction write --start 0 --count 8)
	refused_with_stderr not-confirmed "${words[@]}" --yes-overwrite=OTHER &&
		refused_with_stderr not-confirmed "${words[@]}" < /dev/null
}

# reads_of NAMESPACE: how many the block layer has made
reads_of() {
	awk '{ print $1 }' "/sys/block/${1##*/}/stat"
}

# On a slow drive, when more is read than the comparison before needs.
bench_interrupted() {
	local ns pid first
	ns=$(tests/vm/guest-drives SLOW)
	first=$(reads_of "$ns")
	interruptible bench "$ns" --seconds 60 --depth 4 --paths read-fixed --json > "$TMP/out" 2> "$TMP/err" &
	pid=$!
	until [ "$(reads_of "$ns")" -gt $((first + 100)) ]; do
		kill -0 "$pid" || return 1
		sleep 0.1
	done
	kill -INT "$pid"
	wait "$pid"
	RC=$?
	code 1 && json reason interrupted && json measured 0 && json results.0.state interrupted &&
		json results.0.iops null
}

random $((16 * MIB)) "$TMP/start"
put "$TMP/start" "$NS" 0
put "$TMP/start" "$NS4K" 0

check "info names what is usable" refused 0 null info "$NS" "$NS4K"
check "info of all" refused 0 null info
check "info of queues" info_of_queues
for exporter in $("$NVME_DMABUF" info --json |
	perl -MJSON::PP -e '$_->{available} && print "$_->{name}\n" for @{decode_json(join "", <>)->{exporters}}'); do
	check "read through $exporter" read_file "$NS" 1 20000 --buffer "$exporter"
	check "write through $exporter" write_file "$NS" 30000 $((5 * MIB)) --buffer "$exporter"
done
if [ -e /dev/udmabuf ]; then
	check "the examples read" examples_read
else
	skip "the examples read" "no udmabuf"
fi
check "the program in the README reads" readme_reads
check "read 4 KiB blocks" read_file "$NS4K" 3 1000
check "read in small chunks" read_file "$NS" 5 1000 --chunk 1024
check "read in a large chunk" read_file "$NS" 5 20000 --chunk 16M
check "read with FUA" read_file "$NS" 5 1000 --fua
check "read a part of a block" read_part_of_block
check "read to a pipe" read_to_pipe
check "read to a pipe that is closed" read_closed_pipe
check "read what the page cache has not written yet" read_what_is_in_the_page_cache
check "read the last block, and refuse to read on" read_beyond
check "read an error" read_error
check "read until an error" read_until_error
check "show the map" shows_map
check "show progress" shows_progress
check "refuse a chunk that is no multiple of a block" refused 2 usage read "$NS4K" --count 5 --chunk 512 -o "$TMP/x"
check "refuse an output that cannot be made" refused 1 cannot-open read "$NS" --count 5 -o "$TMP/no/such"
check "refuse a heap that does not exist" refused 1 no-buffer read "$NS" --count 5 --buffer heap:none -o "$TMP/x"

check "write 4 KiB blocks" write_file "$NS4K" 3 $((3 * MIB))
check "write in small chunks" write_file "$NS" 9 $((MIB / 4)) --chunk 4096
check "write with FUA" write_file "$NS" 9 $((2 * MIB)) --fua
check "write and verify" write_verified
check "write and pad" write_file "$NS" 9 100001 --pad
check "write a part of a file" write_part
check "write, and leave the blocks around" write_neighbours
check "write below the page cache" write_below_page_cache
check "write from a pipe" write_from_pipe
check "write from /dev/zero" write_from_endless_input
check "refuse a pipe of unknown length" unchanged write_pipe_of_unknown_length
check "write from a pipe that ends early" write_pipe_that_ends
check "refuse data that does not end with a block" unchanged write_odd
check "refuse a file that is too short" unchanged write_short
check "refuse a file that is empty" unchanged write_empty
check "refuse to write beyond the end" unchanged write_beyond
check "write an error" write_error

check "make partitions" partition
check "refuse a namespace with partitions" unchanged write_one has-partitions "$NS"
check "a partition's blocks are its own" partition_is_relative
check "refuse a mounted partition, and the namespace of it" unchanged mounted
check "write although it is mounted" write_forced
check "selftest of what is mounted" selftest_mounted
check "bench of what is mounted" bench_mounted
check "refuse swap space" swap
check "refuse what device-mapper holds" held
check "write when nobody uses it" wiped
check "refuse what another process has claimed" claimed
check "refuse what is read-only" read_only
check "write when it is writable again" write_file "$NS" 0 4096
check "interleaved metadata" unusable METAINT no-capacity
check "separate metadata" unusable METASEP metadata
check "a virtio disk" unusable VBLK not-nvme
check "no block device" refused 4 not-block-device read /dev/null --count 1 -o "$TMP/x"
check "a namespace that does not exist" refused 4 no-such-namespace read nvme99n1 --count 1 -o "$TMP/x"
check "no access to the module's device" not_permitted
check "no access to the namespace" namespace_not_permitted

check "list peers" peers_listed
check "a peer that does not exist" peer_that_does_not_exist

check "SIGINT during a read" interrupted_read INT
check "SIGTERM during a read" interrupted_read TERM
check "SIGINT during a write" interrupted_write INT
check "SIGINT while waiting for a pipe" interrupted_while_waiting

for serial in PLAIN512 PLAIN4K SMALLMDTS PIINT PISEP PI4K MPATH; do
	check "selftest of $serial" selftest "$(tests/vm/guest-drives $serial)"
done
check "a zoned namespace" zoned
check "selftest prints TAP" selftest_is_tap
for serial in PLAIN512 PLAIN4K SMALLMDTS PIINT PISEP MPATH; do
	check "selftest of $serial with writing" selftest_write "$(tests/vm/guest-drives $serial)" $serial
done
typed=(selftest "$NS" --write --start 0 --rounds 1 --buffer drm)
check "selftest that is not confirmed" unchanged selftest_unconfirmed
check "selftest confirmed by typing" answered PLAIN512 0 "${typed[@]}"
check "selftest not confirmed by typing something else" unchanged answered yes 4 "${typed[@]}"
check "selftest interrupted while writing" selftest_interrupted

for serial in PLAIN512 PLAIN4K MPATH; do
	check "bench of $serial" bench_all "$(tests/vm/guest-drives $serial)"
done
for exporter in $("$NVME_DMABUF" info --json |
	perl -MJSON::PP -e '$_->{available} && print "$_->{name}\n" for @{decode_json(join "", <>)->{exporters}}'); do
	check "bench through $exporter" bench_through "$exporter"
done
check "bench lists all combinations" bench_order
check "bench compares, and shows progress" bench_compares
for serial in PIINT PISEP PI4K; do
	check "bench of $serial" bench_metadata "$(tests/vm/guest-drives $serial)"
done
check "bench of commands longer than the drive takes" bench_long
check "bench of a small range" bench_small_range
check "bench for a time" bench_timed
check "bench, polled" bench_polled
check "bench without the generic device" bench_without_generic_device
if [ -e /proc/sys/kernel/io_uring_disabled ]; then
	check "bench without io_uring" bench_without_uring
else
	skip "bench without io_uring" "this kernel cannot switch it off"
fi
check "bench shows no figures of wrong data" bench_wrong_data
check "bench counts errors" bench_errors
check "bench writes within its range" bench_writes
check "bench writes within its range of a partition" bench_writes_to_partition
check "bench repeats a run of the module's" bench_repeats ioctl
check "bench repeats a run of the kernel's" bench_repeats uring-cmd
check "bench that is not confirmed" unchanged bench_unconfirmed
typed=(bench "$NS" --direction write --start 0 --count 1024 --ios 64)
check "bench confirmed by typing" answered PLAIN512 0 "${typed[@]}"
check "bench not confirmed by typing something else" unchanged answered yes 4 "${typed[@]}"
check "bench interrupted" bench_interrupted

done_testing

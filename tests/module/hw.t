#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# hw.t - this test runs `make check-hw` in the test machine as if that were
# hardware: what it refuses, that its reading tests change nothing, and that its
# writing tests run when asked for. TAP.
#
#   tests/vm/run --kernel 6.12 --drives plain -- tests/module/hw.t
set -uo pipefail

cd "$(dirname "$0")/../.." || exit 1
[[ ${VM_SERIES-} ]] || { echo "1..0 # SKIP not in a virtual machine of tests/vm/run"; exit 0; }
# The module of this kernel, where `make` would have put it; the checkout is read-only.
export NVME_DMABUF_MODULE=$PWD/build/$VM_SERIES/nvme_dmabuf.ko

count=0
failed=0

# check TEXT REGEX STATUS COMMAND...: output and exit status (0 or other) of a command
check()
{
	local text=$1 regex=$2 wanted=$3 out status=0
	shift 3
	out=$("$@" 2>&1) || status=1
	count=$((count + 1))
	if [[ $status == "$wanted" ]] && grep -qE "$regex" <<<"$out"; then
		echo "ok $count - $text"
	else
		failed=1
		echo "not ok $count - $text"
		# shellcheck disable=SC2001 # of each line
		sed 's/^/# /' <<<"$out"
	fi
}

check_hw() { make -s check-hw "$@"; }
contents() { dd if="$1" bs=1M iflag=direct status=none | sha256sum; }
unchanged() { [[ $(contents "$ns") == "$before" ]] && echo same; }

modprobe -q udmabuf
ns=$(tests/vm/guest-drives PLAIN512)
other=$(tests/vm/guest-drives PLAIN4K)
head -c 8M /dev/urandom | dd of="$ns" bs=1M oflag=direct status=none

check "no namespace named" "no namespace named" 1 check_hw
check "a file that is none" "is no block device" 1 check_hw NVME=/etc/passwd
check "a word for ERASE that is not yes" "it can be yes" 1 check_hw NVME="$ns" ERASE=1

mkfs.ext4 -q "$other"
mkdir -p /tmp/mnt
mount "$other" /tmp/mnt
check "a mounted namespace" "is in use" 1 check_hw NVME="$other" T=data
umount /tmp/mnt
check "a file system, to be erased" "there is something on" 1 check_hw NVME="$other" ERASE=yes
dmsetup create held --table "0 2048 linear $other 0"
check "a namespace under a device mapper" "is in use|is part of" 1 check_hw NVME="$other"
dmsetup remove held
wipefs -qa "$other"
echo 'start=2048' | sfdisk -q "$other"
check "a namespace with partitions, to be erased" "has partitions" 1 check_hw NVME="$other" ERASE=yes
wipefs -qa "$other"

before=$(contents "$ns")
check "reading tests" "Result: PASS" 0 check_hw NVME="$ns" T='[dm]*'
check "they wrote nothing" same 0 unchanged
check "writing tests, when asked for" "Result: PASS" 0 check_hw NVME="$ns" ERASE=yes T=data
check "they wrote something" "^$" 1 unchanged
echo "1..$count"
exit $failed

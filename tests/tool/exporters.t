#!/bin/bash
# SPDX-License-Identifier: MIT
#
# This test will check that the tool moves the right data by each exporter that is a device of
# somebody's, so that it is used only if --buffer names it: a camera (the kernel's vivid), and a
# PCI device's BAR (QEMU's ivshmem). It DESTROYS the data of the test machine's drives, so it
# runs only in a virtual machine of tests/vm/run:
#
#   tests/vm/run --kernel 7.x --iommu strict -- tests/tool/exporters.t
#
#   NVME_DMABUF_MODULE=KO   module to load (build/SERIES/nvme_dmabuf.ko)

# shellcheck source-path=SCRIPTDIR
# shellcheck disable=SC2317 # functions are called through check
# shellcheck disable=SC2162 # 'run read' is not the shell's read
. "$(dirname "$0")/tool.sh"

[ -n "${VM_SERIES-}" ] || { echo "1..0 # SKIP not in a virtual machine of tests/vm/run"; exit; }

NS=$(tests/vm/guest-drives PLAIN512)
[ -e /sys/module/nvme_dmabuf ] || insmod "${NVME_DMABUF_MODULE:-build/$VM_SERIES/nvme_dmabuf.ko}" ||
	{ echo "Bail out! cannot load the module"; exit 1; }

# on_drive BLOCK BLOCKS: what the block layer reads, to stdout
on_drive() {
	dd if="$NS" bs=512 skip="$1" count="$2" iflag=direct status=none
}

# copies KIND: to the drive and back
copies() {
	head -c 3000320 /dev/urandom > "$TMP/data"
	run write "$NS" --start 7000 -i "$TMP/data" --chunk 1M --buffer "$1"
	code 0 && on_drive 7000 5860 | cmp - "$TMP/data" || return 1
	run read "$NS" --start 7000 --count 5860 -o "$TMP/got" --chunk 1M --buffer "$1" --json
	code 0 && json buffer "$1" && cmp "$TMP/got" "$TMP/data"
}

# selftest_by KIND: nothing is left out
selftest_by() {
	run selftest "$NS" --rounds 4 --buffer "$1" --json
	code 0 && json skipped 0 && json failed 0
}

# selftest_writes KIND SKIPPED
selftest_writes() {
	run selftest "$NS" --rounds 2 --buffer "$1" --write --start 4000 \
		--yes-overwrite=PLAIN512 --json
	code 0 && json failed 0 && json skipped "$2"
}

listed() {
	"$NVME_DMABUF" info --json | perl -MJSON::PP -e '
		print "$_->{name}\n" for @{decode_json(join "", <STDIN>)->{exporters}}' | grep -xF "$1"
}

# Nothing but --buffer leads to a camera.
selftest_of_all() {
	run selftest "$NS" --rounds 1
	code 0 || return 1
	! grep -F v4l2 "$TMP/out"
}

# refused KIND TEXT
refused() {
	run read "$NS" --count 8 -o "$TMP/got" --buffer "$1"
	code 1 && says err "$2"
}

camera=
if modprobe vivid n_devs=1 node_types=0x101; then
	for name in /sys/class/video4linux/video*/name; do
		case $(< "$name") in
		*vid-cap) camera=/dev/$(basename "${name%/name}") ;;
		*vid-out) other=/dev/$(basename "${name%/name}") ;;
		esac
	done
fi
if [ "$camera" ]; then
	check "info lists the camera" listed "v4l2:$camera"
	check "a camera's buffer: read and write" copies "v4l2:$camera"
	check "a camera's buffer: selftest" selftest_by "v4l2:$camera"
	check "a camera's buffer: selftest writes" selftest_writes "v4l2:$camera" 0
	check "selftest of all leaves the camera alone" selftest_of_all
	check "a node that does not capture frames is refused" refused "v4l2:$other" "not supported"
	refuse "and not listed" listed "v4l2:$other"
else
	skip "a camera's buffer" "this kernel has no vivid"
fi

# bind_peer: QEMU's ivshmem to vfio-pci; its address
bind_peer() {
	local device
	for device in /sys/bus/pci/devices/*; do
		[ "$(< "$device/vendor")$(< "$device/device")" = 0x1af40x1110 ] || continue
		echo vfio-pci > "$device/driver_override"
		basename "$device" | tee /sys/bus/pci/drivers_probe
		return
	done
}

peer=
if modprobe vfio-pci; then peer=$(bind_peer); fi
if [ ! "$peer" ] || [ ! -e "/sys/bus/pci/devices/$peer/iommu_group" ]; then
	skip "a BAR" "no ivshmem device, vfio-pci or IOMMU here"
elif run read "$NS" --count 8 -o "$TMP/got" --buffer "vfio:$peer"; [ "$RC" = 0 ]; then
	check "a BAR: read and write" copies "vfio:$peer"
	check "a BAR: selftest" selftest_by "vfio:$peer"
	check "the same BAR by its number: selftest" selftest_by "vfio:$peer:2"
	# It would take a second buffer, and there is one of a device at a time.
	check "a BAR: selftest does not write" selftest_writes "vfio:$peer" 1
	check "a BAR that is too small is refused" refused "vfio:$peer:0" "not memory, or smaller"
	check "a device that does not exist is refused" refused "vfio:7fff:00:00.0" "is there such a device"
else
	check "an older kernel's vfio-pci is refused" refused "vfio:$peer" "exports no memory"
fi

done_testing

# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# The devices of the test machine, in sets, and what QEMU must be told for
# each. Sourced by tests/vm/run. The serial of a drive is its name: the guest
# finds drives by it, and the PCI device has it as QEMU id. A namespace has the
# id SERIAL-ns, its data are in a sparse file that lives as long as the run.

# drives_qemu SET DIR: print QEMU arguments, one per line, and make the images
# in DIR. DIR/serials lists what the guest must find.
drives_qemu()
{
	local dir=$2 blocks_4k=logical_block_size=4096,physical_block_size=4096

	: >"$dir/serials"
	case $1 in
	none) ;;
	plain) drives_plain ;;
	null) drives_null ;;
	null+files) drives_null; nvme FILES 1200M mdts=9 "" ;;
	standard) drives_plain; drives_special; devices_other ;;
	switch) drives_plain; drives_special; devices_other; devices_switch ;;
	odd) drives_odd ;;
	files) drives_files ;;
	crash) drives_crash ;;
	*) die "--drives is standard, switch, odd, plain, files, crash, null, null+files or none" ;;
	esac
}

drives_plain()
{
	#        serial     size  controller  namespace
	nvme     PLAIN512   256M  mdts=9      ""
	nvme     PLAIN4K    256M  mdts=9      "$blocks_4k"
}

# A drive that takes no time and moves nothing: what is left is the kernel's work.
# Shadow doorbells are something that only virtual drives have.
drives_null()
{
	echo NULL >>"$dir/serials"
	arg -blockdev node-name=NULL-image,driver=null-co,size=4294967296,read-zeroes=off
	arg -device nvme,id=NULL,serial=NULL,mdts=9,dbcs=off
	arg -device nvme-ns,id=NULL-ns,bus=NULL,drive=NULL-image
}

drives_special()
{
	# The largest transfer is 4 KiB << mdts.
	nvme     SMALLMDTS  64M   mdts=5      ""

	# Metadata: interleaved (mset=1) or separate, without and with protection
	# information.
	nvme     METAINT    64M   mdts=9      ms=8,mset=1
	nvme     METASEP    64M   mdts=9      ms=8,mset=0
	nvme     PIINT      64M   mdts=9      ms=8,mset=1,pi=1
	nvme     PISEP      64M   mdts=9      ms=8,mset=0,pi=1
	nvme     PI4K       64M   mdts=9      "$blocks_4k",ms=8,mset=1,pi=1
	nvme     ZONED      64M   mdts=9      "$blocks_4k",zoned=on,zoned.zone_size=4M

	# Two controllers, one namespace.
	arg -device nvme-subsys,id=mpath,nqn=mpath
	arg -device nvme,id=MPATH-2,serial=MPATH,subsys=mpath,mdts=9
	nvme     MPATH      64M   mdts=9,subsys=mpath  shared=on

	# Behind a hot-plug port, for device_del and device_add. The namespace does
	# not go with its controller, so the next one shares the image with it. As fast
	# as others until told otherwise.
	arg -device pcie-root-port,id=hotport,chassis=1
	arg -object throttle-group,id=HOT-speed
	filter=driver=throttle,throttle-group=HOT-speed,file \
	nvme     HOT        64M   mdts=9,bus=hotport  share-rw=on

	# To be formatted by its test, which leaves it as it is here.
	nvme     FORMAT     64M   mdts=9      ""

	# I/O stays in flight for about a second per MiB, until the limits of the
	# object SLOW-speed are changed.
	arg -object throttle-group,id=SLOW-speed,x-bps-total=1048576
	filter=driver=throttle,throttle-group=SLOW-speed,file \
	nvme     SLOW       64M   mdts=9      ""

	# A media error on reading LBA 2048 and on writing LBA 4096.
	filter=driver=blkdebug,$(media_error 0 read 2048),$(media_error 1 write 4096),image \
	nvme     ERR        64M   mdts=9      ""
}

# Drives that few have. SeaBIOS hangs as it looks for something to boot on these.
drives_odd()
{
	arg -bios qboot.rom
	# Linux 6.1 and 6.12 show a capacity of 0: a block is longer than a page.
	nvme     BLOCK16K   64M   mdts=9      logical_block_size=16384,physical_block_size=16384
	# The smallest limit that there is: 8 KiB.
	nvme     MDTS1      64M   mdts=1      ""
	# Protection information with a guard of 64 bits, 16 bytes in all.
	nvme     PI64       64M   mdts=9      "$blocks_4k",ms=16,mset=1,pi=1,pif=2
	nvme     PI64SEP    64M   mdts=9      "$blocks_4k",ms=16,mset=0,pi=1,pif=2
	# Smaller than the largest command, and than the smallest list.
	nvme     TINY       64K   mdts=9      ""
	nvme     TINIEST    8K    mdts=9      ""
	# Block 0 cannot be read.
	filter=driver=blkdebug,$(media_error 0 read 0),image \
	nvme     BADSTART   64M   mdts=9      ""
}

# For file systems: mkfs.xfs wants 300 MB, in a partition too. As fast as others until the
# limits of the object SERIAL-speed are changed.
drives_files()
{
	local serial options=''

	for serial in FILES512 FILES4K; do
		[[ $serial != FILES4K ]] || options=$blocks_4k
		arg -object "throttle-group,id=$serial-speed"
		filter=driver=throttle,throttle-group=$serial-speed,file \
		nvme     $serial  512M  mdts=9  "$options"
	done
}

# Drives that forget what was not flushed when QEMU is killed: QEMU notes in its own memory that
# a block is no longer zero, until a Flush. So they forget the first write to blocks that were
# written with zeros before. NOTES forgets nothing.
drives_crash()
{
	node=image_node_forgetful \
	nvme     FILES512   512M  mdts=9      ""
	node=image_node_forgetful \
	nvme     FILES4K    512M  mdts=9      "$blocks_4k"
	nvme     NOTES      1M    mdts=9      ""
}

# Block devices that are not NVMe, sources of dma-bufs, and two BARs for
# peer-to-peer DMA (PCI ID 1af4:1110, BAR 2), of which one can be unplugged.
devices_other()
{
	image VBLK 64M
	arg -blockdev "$(image_node VBLK)"
	arg -device virtio-blk-pci,id=VBLK,serial=VBLK,drive=VBLK-image
	arg -device virtio-gpu-pci
	arg -object memory-backend-ram,id=ivshmem,size=16M,share=on
	arg -device ivshmem-plain,id=IVSHMEM,memdev=ivshmem
	arg -device pcie-root-port,id=peerport,chassis=2
	arg -object memory-backend-ram,id=hotpeer,size=16M,share=on
	arg -device ivshmem-plain,id=HOTPEER,bus=peerport,memdev=hotpeer
}

# A drive and a third BAR below one PCI Express switch, whatever the host bridge.
devices_switch()
{
	arg -device pcie-root-port,id=switchport,chassis=3
	arg -device x3130-upstream,id=switch,bus=switchport
	arg -device xio3130-downstream,id=switch-1,bus=switch,chassis=4,slot=1
	arg -device xio3130-downstream,id=switch-2,bus=switch,chassis=5,slot=2
	arg -object memory-backend-ram,id=switchpeer,size=16M,share=on
	arg -device ivshmem-plain,id=SWITCHPEER,bus=switch-1,memdev=switchpeer
	nvme     SWITCHED   64M   mdts=9,bus=switch-2  ""
}

arg() { printf '%s\n' "$@"; }

image()
{
	truncate -s "$2" "$dir/$1.raw"
	echo "$1" >>"$dir/serials"
}

# The images are thrown away, so nothing need reach the host's disk.
image_node() { echo "node-name=$1-image,driver=raw,cache.no-flush=on,file.driver=file,file.filename=$dir/$1.raw"; }

# The same in QEMU's own format: with blocks of 4 KiB, and one table for all of them, for QEMU
# flushes the others when it adds one.
image_node_forgetful()
{
	local file=$dir/$1.raw line

	coproc qemu { "$VM_DIR/qemu" -machine none -nodefaults -display none -qmp stdio \
		-blockdev "driver=file,node-name=file,filename=$file"; }
	cat >&"${qemu[1]}" <<-EOF
	{"execute": "qmp_capabilities"}
	{"execute": "blockdev-create", "arguments": {"job-id": "create", "options": {
		"driver": "qcow2", "file": "file", "size": $(stat -c %s "$file"),
		"cluster-size": 131072, "extended-l2": true}}}
	EOF
	while read -r line && [[ $line != *'"status": "concluded"'* ]]; do :; done <&"${qemu[0]}"
	echo '{"execute": "quit"}' >&"${qemu[1]}"
	wait $!
	echo "node-name=$1-image,driver=qcow2,detect-zeroes=on,cache.no-flush=on,file.driver=file,file.filename=$file"
}

# nvme SERIAL SIZE CONTROLLER-OPTIONS NAMESPACE-OPTIONS: a controller with one
# namespace. $filter is a block driver to put between it and the image; it ends
# in the name of the option that takes the image. $node makes another kind of image.
nvme()
{
	local drive=$1-image

	image "$1" "$2"
	arg -blockdev "$("${node-image_node}" "$1")"
	if [[ ${filter-} ]]; then
		drive=$1-filter
		arg -blockdev "node-name=$drive,$filter=$1-image"
	fi
	arg -device "nvme,id=$1,serial=$1,$3"
	arg -device "nvme-ns,id=$1-ns,bus=$1,drive=$drive${4:+,$4}"
}

# media_error INDEX read|write SECTOR: a blkdebug rule.
media_error()
{
	echo "inject-error.$1.event=none,inject-error.$1.iotype=$2,inject-error.$1.sector=$3,inject-error.$1.errno=5"
}

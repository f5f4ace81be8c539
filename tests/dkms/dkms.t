#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# dkms.t SERIES... - this test adds, builds, installs and removes the module
# with Debian 13's dkms, as `make dkms-install` does, for each test kernel, and
# with Debian 12's for the first; and asks both which kernels they would build it
# for. TAP.
set -uo pipefail

top=$(cd "$(dirname "$0")/../.." && pwd -P)
. "$top/tests/vm/lib.sh"

count=0
status=0

# check TEXT COMMAND...: one test, whose output is shown if it fails
check()
{
	local text=$1 out
	shift
	count=$((count + 1))
	if out=$("$@" 2>&1); then
		echo "ok $count - $text"
	else
		status=1
		echo "not ok $count - $text"
		# shellcheck disable=SC2001 # of each line
		sed 's/^/# /' <<<"$out"
	fi
}

in_chroot() { "$top/tests/vm/chroot" "$@"; }
fails() { ! "$@"; }

installed() { in_chroot sh -c "ls /lib/modules/$1/updates/dkms/nvme_dmabuf.ko*"; }

module_is_for()
{
	local ko vermagic
	ko=$(installed "$1") && vermagic=$(in_chroot modinfo -F vermagic "$ko") &&
		[[ $vermagic == "$1 "* ]]
}

# The oldest dkms that must do: see old_dkms() in tests/vm/setup.
old=/opt/dkms-bookworm/usr/sbin/dkms

# would_build DKMS RELEASE ARCH [OPTION...]: would it build the module for this kernel?
# dkms asks dkms.conf first, and then fails, for there are no headers. What the kernel's
# configuration has besides is in CONFIG_PCI.
would_build()
{
	# shellcheck disable=SC2016 # expanded by the inner shell
	in_chroot bash -c '
		mkdir /run/headers
		printf "%s\n" CONFIG_BLK_DEV_NVME=m CONFIG_DMA_SHARED_BUFFER=y $4 >/run/headers/.config
		make -s -C /src dkms-source
		"$1" add "$5" >/dev/null || exit
		out=$("$1" build "$5" -k "$2" -a "$3" --kernelsourcedir /run/headers 2>&1)
		code=$?
		"$1" remove "$5" --all >/dev/null 2>&1
		printf "%s\n" "exit code $code" "$out"
		((code != 77)) && [[ $out == *"kernel headers"*"cannot be found"* ]]
	' would_build "$1" "$2" "$3" "${4-CONFIG_PCI=y}" "nvme-dmabuf/$(<"$top/VERSION")"
}

would_not_build()
{
	local out
	out=$(would_build "$@") || [[ $out != "exit code 77"* ]] || return 0
	echo "$out"
	return 1
}

in_chroot make -s -C /src dkms-uninstall >/dev/null 2>&1
in_chroot make -s -C /src dkms-uninstall DKMS=$old >/dev/null 2>&1
for dkms in dkms $old; do
	version=$(in_chroot "$dkms" --version)
	for kernel in 4.19.0-27-amd64 5.10.0-35-amd64 5.61.0 6.0.0-6-amd64 6.0.19; do
		check "$version: not for $kernel" would_not_build "$dkms" $kernel x86_64
	done
	for kernel in 6.1.0-40-amd64 6.1.150-hardened 6.2.16 6.10.3-amd64 6.12.48+deb13-amd64 \
		7.0.0 7.3.4+deb14-amd64 7.10.1 10.0.0-rc1; do
		check "$version: for $kernel" would_build "$dkms" $kernel x86_64
	done
	for arch in aarch64 i686; do
		check "$version: not for $arch" would_not_build "$dkms" 6.12.1 $arch
	done
	check "$version: not for a kernel without PCI" \
		would_not_build "$dkms" 6.12.1 x86_64 "CONFIG_PCI=n"
done
for series; do
	release=$(release_of "$series")
	check "$release: make dkms-install" in_chroot make -s -C /src dkms-install KVER="$release"
	check "$release: dkms says it is installed" \
		in_chroot sh -c "dkms status nvme-dmabuf -k $release | grep -q installed"
	check "$release: the module is built for this kernel" module_is_for "$release"
done
check "make dkms-uninstall" in_chroot make -s -C /src dkms-uninstall
for series; do
	release=$(release_of "$series")
	check "$release: it is gone" fails installed "$release"
done
release=$(release_of "$1")
check "$release: make dkms-install, $version" \
	in_chroot make -s -C /src dkms-install KVER="$release" DKMS=$old
check "$release: the module is built for this kernel" module_is_for "$release"
check "make dkms-uninstall, $version" in_chroot make -s -C /src dkms-uninstall DKMS=$old
check "$release: it is gone" fails installed "$release"
echo "1..$count"
exit $status

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

# Kernel, architecture, a line of its configuration, and whether it gets the module.
kernels()
{
	cat <<-'EOF'
	4.19.0-27-amd64 x86_64 CONFIG_PCI=y no
	5.10.0-35-amd64 x86_64 CONFIG_PCI=y no
	5.61.0 x86_64 CONFIG_PCI=y no
	6.0.0-6-amd64 x86_64 CONFIG_PCI=y no
	6.0.19 x86_64 CONFIG_PCI=y no
	6.1.0-40-amd64 x86_64 CONFIG_PCI=y yes
	6.1.150-hardened x86_64 CONFIG_PCI=y yes
	6.2.16 x86_64 CONFIG_PCI=y yes
	6.10.3-amd64 x86_64 CONFIG_PCI=y yes
	6.12.48+deb13-amd64 x86_64 CONFIG_PCI=y yes
	7.0.0 x86_64 CONFIG_PCI=y yes
	7.3.4+deb14-amd64 x86_64 CONFIG_PCI=y yes
	10.0.0-rc1 x86_64 CONFIG_PCI=y yes
	6.12.1 aarch64 CONFIG_PCI=y no
	6.12.1 i686 CONFIG_PCI=y no
	6.12.1 x86_64 CONFIG_PCI=n no
	EOF
}

# right_kernels DKMS: would it build the module for these, and only these? dkms looks
# at dkms.conf first, and then fails, for there are no headers.
right_kernels()
{
	# shellcheck disable=SC2016 # expanded by the inner shell
	diff <(kernels) <(kernels | in_chroot bash -c '
		mkdir /run/headers
		make -s -C /src dkms-source
		"$1" add "$2" >/dev/null || exit
		while read -r release arch config _; do
			printf "%s\n" CONFIG_BLK_DEV_NVME=m CONFIG_DMA_SHARED_BUFFER=y "$config" \
				>/run/headers/.config
			out=$("$1" build "$2" -k "$release" -a "$arch" \
				--kernelsourcedir /run/headers 2>&1 </dev/null)
			case $?,$out in
			77,*BUILD_EXCLUSIVE*) answer=no ;;
			0,* | 77,*) answer=$out ;;
			*,*"kernel headers"*"cannot be found"*) answer=yes ;;
			*) answer=$out ;;
			esac
			echo "$release $arch $config $answer"
		done
		"$1" remove "$2" --all >/dev/null 2>&1
	' right_kernels "$1" "nvme-dmabuf/$(<"$top/VERSION")")
}

in_chroot make -s -C /src dkms-uninstall >/dev/null 2>&1
in_chroot make -s -C /src dkms-uninstall DKMS=$old >/dev/null 2>&1
for dkms in dkms $old; do
	version=$(in_chroot "$dkms" --version)
	check "$version: for which kernels the module is built" right_kernels "$dkms"
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

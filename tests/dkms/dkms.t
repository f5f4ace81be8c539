#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# dkms.t SERIES... - this test adds, builds, installs and removes the module
# with Debian's dkms, as `make dkms-install` does, for each test kernel. TAP.
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

in_chroot make -s -C /src dkms-uninstall >/dev/null 2>&1
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
echo "1..$count"
exit $status

# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# What the scripts of the VM harness share: where the checkout and the cache
# are, how to talk to the user, and how to enter the build root. Sourced, never
# run. Knows nothing about drives or tests.

VM_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)

# The checkout that is built and shown to the guest.
SRC=$(cd "${SRC:-$VM_DIR/../..}" && pwd -P)

# Roots and kernels are large and not tied to a checkout, so they live outside.
CACHE=${NVME_DMABUF_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/nvme-dmabuf}
ROOT=$CACHE/root

# shellcheck disable=SC2034 # for the scripts that source this
DEFAULT_SERIES=(6.1 6.12 7.x)

PROG=${0##*/}

log() { printf '%s: %s\n' "$PROG" "$*" >&2; }

die() { log "$*"; exit 1; }

# usage_from_header: print the comment block at the top of the running script,
# which documents its options.
usage_from_header() { sed -n '4,/^[^#]/{s/^# \{0,1\}//p}' "$0"; }

# list_of FILE: the package names in one of the commented lists.
list_of() { sed 's/#.*//' "$1" | xargs; }

# release_of SERIES: the uname -r of the cached kernel of a series.
release_of()
{
	local maker=setup

	[[ $1 != debug && $1 != kcsan ]] || maker=debug-kernel
	cat "$CACHE/kernels/$1/release" 2>/dev/null ||
		die "no kernel of series $1 here; run tests/vm/$maker $1 first"
}

# build_dir SERIES: where tests/vm/build has its copy of the checkout. Two
# checkouts must not meet in one directory.
build_dir() { echo "$ROOT/build/${SRC##*/}-$(sha1sum <<<"$SRC" | cut -c1-8)/$1"; }

# in_root [--bind FROM TO | --bind-ro FROM TO]... CMD [ARG...]: run a command
# in the build root. The mounts are in a private namespace and end with it, even
# if it is interrupted.
in_root()
{
	# shellcheck disable=SC2016 # expanded by the inner shell
	unshare --mount --propagation private bash -euc '
		root=$1; shift
		mount -t proc proc "$root/proc"
		mount --rbind /dev "$root/dev"
		mount -t tmpfs tmpfs "$root/run"
		while [[ ${1-} == --bind* ]]; do
			mkdir -p "$root$3"
			mount --bind "$2" "$root$3"
			[[ $1 == --bind ]] || mount -o remount,bind,ro "$root$3"
			shift 3
		done
		exec chroot "$root" env -i HOME=/root LANG=C.UTF-8 TERM="${TERM-dumb}" \
			DEBIAN_FRONTEND=noninteractive \
			PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
	' in_root "$ROOT" "$@"
}

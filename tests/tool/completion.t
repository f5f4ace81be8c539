#!/bin/bash
# SPDX-License-Identifier: MIT
#
# This test will check what bash completes after nvme-dmabuf, word by word, with
# devices that are only pretended.

# shellcheck source-path=SCRIPTDIR
# shellcheck disable=SC2317 # functions are called through check
. "$(dirname "$0")/tool.sh"

COMPLETION=/usr/share/bash-completion/bash_completion
if [ ! -e "$COMPLETION" ]; then
	skip "bash completion" "no bash-completion (Debian package bash-completion)"
	done_testing
fi
set +u
# shellcheck source=/dev/null
. "$COMPLETION"
# shellcheck source=userlib/completions/nvme-dmabuf
. userlib/completions/nvme-dmabuf
PATH=$(dirname "$NVME_DMABUF"):$PATH

# The files that are asked for.
compgen() {
	case "$*" in
	"-G /dev/nvme*n*") printf '%s\n' /dev/nvme0n1 /dev/nvme0n1p1 ;;
	"-G /sys/bus/pci/devices/*") printf '/sys/bus/pci/devices/%s\n' 0000:00:01.0 0000:03:00.0 ;;
	"-G /dev/dma_heap/*") echo /dev/dma_heap/system ;;
	"-G /dev/dri/card*") echo /dev/dri/card0 ;;
	"-G /dev/video*") echo /dev/video1 ;;
	"-G /dev/nvidiactl" | "-G /dev/kfd") echo "${2-}" ;;
	"-G /dev/dri/renderD*") printf '%s\n' /dev/dri/renderD128 /dev/dri/renderD129 ;;
	"-G /sys/bus/pci/drivers/vfio-pci/*:*") echo /sys/bus/pci/drivers/vfio-pci/0000:03:00.0 ;;
	*) builtin compgen "$@" ;;
	esac
}

# completes TO WORD...: what comes after these words, the last of which is not complete.
# As readline does, a word that has colons is given in parts.
completes() {
	local to=$1
	shift
	COMP_WORDS=(nvme-dmabuf)
	COMP_LINE="nvme-dmabuf $*"
	while [ $# -gt 0 ]; do
		mapfile -t -O ${#COMP_WORDS[@]} COMP_WORDS < <(sed 's/:/\n:\n/g; s/\n$//' <<<"$1")
		shift
	done
	COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
	COMP_POINT=${#COMP_LINE}
	COMP_TYPE=9
	COMPREPLY=()
	_nvme_dmabuf nvme-dmabuf "${COMP_WORDS[-1]}" "${COMP_WORDS[-2]}"
	[ "${COMPREPLY[*]}" = "$to" ] && return
	echo "'$COMP_LINE' is completed to '${COMPREPLY[*]}' instead of '$to'"
	return 1
}

# options_of SUBCOMMAND: they are the long ones of its --help
options_of() {
	run "$1" --help
	completes "$(grep -oE '^  (-[a-z], )?--[a-z-]+' "$TMP/out" | grep -oE -- '--.*' | xargs)" "$1" --
}

NAMESPACES="/dev/nvme0n1 /dev/nvme0n1p1"
PEERS="0000:00:01.0 0000:03:00.0"

check "a subcommand" completes selftest se
check "every subcommand" completes "info peers read write selftest bench --help --version" ""
for subcommand in info peers read write selftest bench; do
	check "$subcommand: a namespace" completes "$NAMESPACES" "$subcommand" ""
	check "$subcommand: a part of one" completes /dev/nvme0n1p1 "$subcommand" /dev/nvme0n1p
	check "$subcommand: its options" options_of "$subcommand"
	check "$subcommand --json: a namespace" completes "$NAMESPACES" "$subcommand" --json ""
done
check "peers NAMESPACE: a PCI device" completes "$PEERS" peers nvme0n1 ""
check "peers --json NAMESPACE: a PCI device" completes "$PEERS" peers --json nvme0n1 ""
check "peers NAMESPACE --json: a PCI device" completes "$PEERS" peers nvme0n1 --json ""
check "peers NAMESPACE PEER: another" completes "$PEERS" peers nvme0n1 0000:00:01.0 ""
check "peers NAMESPACE: an option" completes --json peers nvme0n1 --j
# What readline has of the word already is left out.
check "a part of a PCI address" completes 03:00.0 peers nvme0n1 0000:03
check "--buffer" completes "auto udmabuf huge heap:system drm:/dev/dri/card0 memory memory:huge v4l2:/dev/video1 vfio:0000:03:00.0 cuda hip ze" read nvme0n1 --buffer ""
check "--buffer heap:" completes system read nvme0n1 --buffer heap:
check "--buffer vfio:" completes 0000:03:00.0 read nvme0n1 --buffer vfio:
check "--buffer drm:/" completes /dev/dri/card0 bench nvme0n1 --buffer drm:/d
check "--direction" completes "write" bench nvme0n1 --direction w
check "a number is not completed" completes "" read nvme0n1 --count ""
touch "$TMP/data"
for subcommand in info read write selftest bench; do
	check "$subcommand: a file" completes "$TMP/data" "$subcommand" "$TMP/da"
done
check "peers: no file" completes "" peers "$TMP/da"

done_testing

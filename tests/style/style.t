#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# style.t - this test runs the linters over everything that is committed, and
# checks what must agree: one version, every errno and reason documented; and the
# scanner of kernel logs. TAP.
set -uo pipefail

cd "$(dirname "$0")/../.." || exit 1
count=0
status=0

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

# files REGEX: files under version control, or about to be, whose first line
# or name matches
files() { git ls-files --cached --others --exclude-standard "$@"; }
scripts() { files | xargs -r grep -lE -m1 '^#!/bin/(ba)?sh|^# shellcheck shell=' -- 2>/dev/null; }

# The tables of tests and the columns of public headers are laid out by hand.
sources_are_formatted() { files 'module/*.[ch]' 'userlib/tool/*.[ch]' | xargs -r clang-format --dry-run -Werror; }
shell_is_clean() { scripts | xargs -r shellcheck; }
pages_are_clean() { files 'userlib/man/*.[0-9]' | xargs -r mandoc -Tlint -Wwarning; }
sources_have_licence()
{
	local missing
	missing=$(files '*.[ch]' '*.[ch]pp' '*.cmake.in' '*.sh' '*.t' Makefile '*/Makefile' Kbuild 'tests/vm/*' |
		xargs -r grep -L SPDX-License-Identifier --)
	[[ ! $missing ]] || { echo "no SPDX line: $missing"; return 1; }
}

version_agrees()
{
	local version
	version=$(<VERSION)
	grep -qx "PACKAGE_VERSION=\"$version\"" dkms.conf || { echo "dkms.conf"; return 1; }
	grep -q "^## $version" CHANGELOG.md || { echo "CHANGELOG.md"; return 1; }
}

# Each reason of the uapi header is explained in section 4 of the manual.
reasons_are_documented()
{
	local name missing=0
	while read -r name; do
		grep -q "$name" userlib/man/nvme-dmabuf.4 ||
			{ echo "$name is not in nvme-dmabuf(4)"; missing=1; }
	done < <(grep -oE 'NVME_DMABUF_REASON_[A-Z_]+' uapi/linux/nvme_dmabuf.h | sort -u |
		grep -v 'REASON_$')
	return "$missing"
}

# Memory knows neither storage nor maps, and storage of memory only what an importer is.
module_folders_know_what_they_may()
{
	! files 'module/memory/*.[ch]' 'module/storage/*.[ch]' |
		xargs -r grep -oE '^#include ".*' -- |
		grep -vE -e ':#include "[a-z_]+\.h"$' \
			-e '/(memory/memory|storage/storage)\.h:#include "\.\./nvdm\.h"$' \
			-e '/storage/storage\.h:#include "\.\./memory/memory\.h"$' \
			-e '/storage/trial\.h:#include "\.\./memory/prp\.h"$'
}

# A folder of the tool includes its own headers and those named here: no subcommand knows
# another, and what they share knows none.
tool_folders_know_what_they_may()
{
	! files 'userlib/tool/*/*.[ch]' | xargs -r grep -oE '^#include ".*' -- |
		grep -vE -e ':#include "[a-z_]+\.h"$' \
			-e '/device/.*"\.\./common/common\.h"$' \
			-e '/(bench|copy|info|selftest)/.*"\.\./(common/common|device/device|subcommands)\.h"$'
}

no_leftovers()
{
	! files '*.c' '*.h' '*.hpp' | grep -v '^tests/' |
		xargs -r grep -nE 'LINUX_VERSION_CODE|BUG_ON\(|TODO|FIXME|XXX|%px' --
}

check "the module and the tool: clang-format" sources_are_formatted
check "shell scripts: shellcheck" shell_is_clean
check "man pages: mandoc -Tlint" pages_are_clean
check "every source file names its licence" sources_have_licence
check "the version is the same everywhere" version_agrees
check "every reason is documented in nvme-dmabuf(4)" reasons_are_documented
check "a complaint in a kernel log is found" tests/vm/scan-log --self-test
check "the module's folders include what they may" module_folders_know_what_they_may
check "the tool's folders include what they may" tool_folders_know_what_they_may
check "no version checks, BUG_ON or leftovers" no_leftovers
echo "1..$count"
exit $status

#!/bin/bash
# SPDX-License-Identifier: MIT
#
# This test will check that an installed library can be found with pkg-config
# and used by C and C++ programs, shared and static, that installing builds
# nothing, and that uninstalling leaves nothing. All of it under DESTDIR: the
# host may have an installation of its own.

# shellcheck source-path=SCRIPTDIR
# shellcheck disable=SC2317 # functions are called through check
. "$(dirname "$0")/tap.sh"
need_library

VERSION=$(cat VERSION)
STAGE=$TMP/stage
LIB=$STAGE/opt/nd/lib/triplet
PC=$LIB/pkgconfig/libnvmedmabuf.pc
export PKG_CONFIG_PATH=$LIB/pkgconfig
unset INCLUDEDIR BINDIR MANDIR UDEVDIR SYSUSERSDIR BASHCOMPDIR

userlib() {
	make -C userlib BUILD="$USERLIB" DESTDIR="$STAGE" PREFIX=/opt/nd \
		LIBDIR=/opt/nd/lib/triplet LDCONFIG=false "$@"
}

cat > "$TMP/client.c" <<'END'
#include <nvmedmabuf.h>
#include <errno.h>
#include <stdio.h>

int main(void)
{
	struct nvmedmabuf_buffer *buf;
	struct nvmedmabuf_drive drive;
	struct nvme_dmabuf_command cmd;

	nvmedmabuf_prep_flush(&cmd, 1);
	drive.size = sizeof(drive);
	if (nvmedmabuf_get_drive(-1, &drive) != -EBADF ||
	    nvmedmabuf_buffer_create("drm:/dev/null", 4096, &buf) != -ENOTTY)
		return 1;
	puts(nvmedmabuf_version());
	return 0;
}
END

cat > "$TMP/client.cpp" <<'END'
#include <nvmedmabuf.hpp>
#include <cerrno>
#include <cstdio>

int main()
{
	try {
		auto buf = libnvmedmabuf::buffer::create("drm:/dev/null", 4096);
	} catch (const libnvmedmabuf::error &e) {
		return e.code().value() != ENOTTY || std::puts(nvmedmabuf_version()) < 0;
	}
	return 1;
}
END

# client NAME LIBS COMPILER...: compiles a client with pkg-config's flags and
# those that the command LIBS prints, and runs it
client() {
	program "$TMP/client.c" "$@"
}

# program SOURCE NAME LIBS COMPILER...: the same of another program
program() {
	local source=$1 name=$2 libs=$3 flags
	shift 3
	read -ra flags <<<"$(pkg-config --cflags libnvmedmabuf) $($libs)"
	"$@" -Wall -Wextra -Werror "$source" -x none -o "$TMP/$name" "${flags[@]}" &&
		[ "$(LD_LIBRARY_PATH=$LIB "$TMP/$name")" = "$VERSION" ]
}

shared_libs() {
	pkg-config --libs libnvmedmabuf
}

# our archive, which needs nothing but libc
archive_libs() {
	echo "$LIB/libnvmedmabuf.a"
}

static_libs() {
	pkg-config --static --libs libnvmedmabuf
}

# The program in the README, by the README's own command line.
readme() {
	local command
	command=$(sed -n '/^cc example\.c /p' README.md) && [ -n "$command" ] || return 1
	# shellcheck disable=SC2016 # backticks of the text
	sed -n '/^```c$/,/^```$/{/^```/!p}' README.md > "$TMP/example.c"
	(cd "$TMP" && eval "$command -Wall -Wextra -Werror") && [ -x "$TMP/a.out" ]
}

# Who only compiles needs no package but ours.
alone() {
	local -x PKG_CONFIG_LIBDIR=$LIB/pkgconfig PKG_CONFIG_PATH=
	[ "$(pkg-config --cflags libnvmedmabuf | xargs)" = "-I$STAGE/opt/nd/include" ] &&
		client c-alone shared_libs "$CC" -x c
}

links_only() {
	local libs
	read -ra libs <<<"$(pkg-config --libs-only-l libnvmedmabuf)"
	echo "${libs[@]}"
	[ "${libs[*]}" = "$1" ]
}

needs_libc_alone() {
	[ "$(objdump -p "$LIB/libnvmedmabuf.so" | awk '$1 == "NEEDED" { print $2 }')" = libc.so.6 ]
}

uses() {
	ldd "$1" | grep -F "$2"
}

builds_nothing() {
	! userlib install | grep -E '^ +(CC|AR|LD) '
}

all_below_prefix() {
	find "$STAGE" ! -type d ! -path "$STAGE/opt/nd/*" > "$TMP/outside"
	! grep . "$TMP/outside" && rule_is_in /opt/nd/lib/udev && group_is_in /opt/nd/lib/sysusers.d
}

rule_is_in() {
	grep -q nvme-dmabuf "$STAGE$1/rules.d/60-nvme-dmabuf.rules"
}

group_is_in() {
	grep -q nvme-dmabuf "$STAGE$1/nvme-dmabuf.conf"
}

no_rule_nor_group() {
	[ "$(find "$STAGE" -name '*.rules' -o -name 'nvme-dmabuf.conf' | wc -l)" = 0 ]
}

# A distribution may have its own place for them, which pkg-config tells.
as_pkg_config_says() {
	local -x PKG_CONFIG_PATH=$TMP/pc:$PKG_CONFIG_PATH
	mkdir -p "$TMP/pc"
	# shellcheck disable=SC2016 # expanded by pkg-config
	printf '%s\n' 'prefix=/usr' 'udevdir=${prefix}/libexec/udev' 'sysusersdir=${prefix}/users' \
		'Name: test' 'Description: test' 'Version: 1' | tee "$TMP/pc/udev.pc" > "$TMP/pc/systemd.pc"
	userlib install && rule_is_in /opt/nd/libexec/udev && group_is_in /opt/nd/users &&
		userlib uninstall
}

# Through the Makefile at the top, which people use.
elsewhere() {
	make -s "$1" BUILD="$(realpath --relative-to=. "$USERLIB/..")" DESTDIR="$STAGE" PREFIX=/opt/nd LDCONFIG=false \
		UDEVDIR=/etc/udev SYSUSERSDIR=/etc/sysusers.d
}

nothing_remains() {
	find "$STAGE" ! -type d > "$TMP/left"
	! grep . "$TMP/left"
}

# One line says where everything is, so that a tree can be moved.
move_prefix() {
	[ "$(grep -c /opt/nd "$PC")" = 1 ] && sed -i "s|^prefix=/opt/nd$|prefix=$STAGE/opt/nd|" "$PC" &&
		! grep -x prefix=/opt/nd "$PC"
}

knows_no_stage() {
	! grep -rI "$TMP" "$STAGE"
}

check "installs" userlib install
check "installing builds nothing" builds_nothing
check "what is installed knows no DESTDIR" knows_no_stage
check "the prefix can be moved" move_prefix
check "pkg-config tells the version" [ "$(pkg-config --modversion libnvmedmabuf)" = "$VERSION" ]
check "the library needs libc alone" needs_libc_alone
check "shared programs link nothing else" links_only -lnvmedmabuf
check "the module's interface is installed" [ -e "$STAGE/opt/nd/include/linux/nvme_dmabuf.h" ]
check "a C program" client c-shared shared_libs "$CC" -x c
check "a C program without the packages that the library is made of" alone
check "uses the soname" uses "$TMP/c-shared" libnvmedmabuf.so.0
check "the README's program" readme
check "a C++ program" client cxx-shared shared_libs "$CXX" -x c++
check "a C++ program with owners and exceptions" \
	program "$TMP/client.cpp" hpp-shared shared_libs "$CXX" -std=c++17
check "a C program with the archive" client c-archive archive_libs "$CC" -x c
refuse "does not use the soname" uses "$TMP/c-archive" libnvmedmabuf
check "a C++ program with the archive" client cxx-archive archive_libs "$CXX" -x c++

# The linker takes the archive where there is no other.
rm -f "$LIB"/libnvmedmabuf.so*
check "a C program with pkg-config --static" client c-static static_libs "$CC" -x c
refuse "does not use the soname" uses "$TMP/c-static" libnvmedmabuf

check "installs again" userlib install
check "everything is below PREFIX" all_below_prefix
check "uninstalls" userlib uninstall
check "leaves nothing" nothing_remains

check "the udev rule and its group go where pkg-config says" as_pkg_config_says
check "and leave nothing there" nothing_remains
check "installs them elsewhere" elsewhere install
check "the rule is there" rule_is_in /etc/udev
check "its group is there" group_is_in /etc/sysusers.d
check "uninstalls them from there" elsewhere uninstall
check "leaves nothing there" nothing_remains
check "installs without them" userlib install UDEVDIR= SYSUSERSDIR=
check "they are left out" no_rule_nor_group
check "uninstalls without them" userlib uninstall UDEVDIR= SYSUSERSDIR=
check "leaves nothing at all" nothing_remains

done_testing

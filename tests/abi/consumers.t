#!/bin/bash
# SPDX-License-Identifier: MIT
#
# This test will check that projects which are built with CMake or Meson find an installed
# library, also after its tree was moved, and that their C and C++ programs run with it.

# shellcheck source-path=SCRIPTDIR
# shellcheck disable=SC2317 # functions are called through check
. "$(dirname "$0")/tap.sh"
need_library

VERSION=$(cat VERSION)
STAGE=$TMP/stage
MOVED=$TMP/moved
export CC CXX
# No flags and folders but ours: what the caller is building does not matter here.
unset CFLAGS CXXFLAGS CPPFLAGS LDFLAGS DESTDIR PREFIX LIBDIR INCLUDEDIR BINDIR MANDIR UDEVDIR \
	SYSUSERSDIR BASHCOMPDIR CMAKE_PREFIX_PATH PKG_CONFIG_PATH LD_LIBRARY_PATH

# userlib PREFIX TARGET...
userlib() {
	local prefix=$1
	shift
	make -s -C userlib BUILD="$USERLIB" DESTDIR="$STAGE" PREFIX="$prefix" LDCONFIG=false "$@"
}

project=$TMP/project
mkdir "$project"

cat > "$project/main.c" <<'END'
#include <nvmedmabuf.h>
#include <stdio.h>

int main(void)
{
	return puts(nvmedmabuf_version()) < 0;
}
END

cat > "$project/main.cpp" <<'END'
#include <nvmedmabuf.hpp>
#include <cstdio>

int main()
{
	try {
		auto buf = libnvmedmabuf::buffer::import_fd(-1);
	} catch (const std::system_error &e) {
		return std::puts(nvmedmabuf_version()) < 0;
	}
	return 1;
}
END

cmake_project() {
	mkdir -p "$project/$1"
	cat - "$TMP/programs" > "$project/$1/CMakeLists.txt"
}

cat > "$TMP/programs" <<'END'
set(CMAKE_CXX_STANDARD 17)
add_executable(c-program ../main.c)
add_executable(cxx-program ../main.cpp)
target_link_libraries(c-program ${target})
target_link_libraries(cxx-program ${target})
END

cmake_project find-package <<'END'
cmake_minimum_required(VERSION 3.16)
project(consumer C CXX)
find_package(libnvmedmabuf ${WANTED} REQUIRED)
# Whoever else looks for it, too, gets the same.
find_package(libnvmedmabuf REQUIRED)
set(target libnvmedmabuf::libnvmedmabuf)
END

cmake_project pkg-config <<'END'
cmake_minimum_required(VERSION 3.16)
project(consumer C CXX)
find_package(PkgConfig REQUIRED)
pkg_check_modules(nvmedmabuf REQUIRED IMPORTED_TARGET libnvmedmabuf)
set(target PkgConfig::nvmedmabuf)
END

mkdir "$project/meson"
cp "$project"/main.* "$project/meson/"
cat > "$project/meson/meson.build" <<'END'
project('consumer', 'c', 'cpp', default_options: ['cpp_std=c++17'])
library = dependency('libnvmedmabuf', version: '>= 0.1')
executable('c-program', 'main.c', dependencies: library)
executable('cxx-program', 'main.cpp', dependencies: library)
END

# configured PROJECT OPTION...: with CMake, which looks for the library again each time, but
# not for the compilers: that takes longest
configured() {
	cmake -S "$project/$1" -B "$TMP/$1" -U libnvmedmabuf_DIR -U WANTED "${@:2}"
}

# runs FOLDER LIBDIR: both programs, with the library that they were linked with
runs() {
	local program
	for program in c-program cxx-program; do
		[ "$("$TMP/$1/$program")" = "$VERSION" ] || return 1
		ldd "$TMP/$1/$program" | grep -F "=> $2/libnvmedmabuf.so.${VERSION%%.*} " || return 1
	done
}

# with_cmake PROJECT LIBDIR OPTION...: configured, built and run
with_cmake() {
	configured "$1" "${@:3}" && cmake --build "$TMP/$1" && runs "$1" "$2"
}

with_pkg_config() {
	local -x PKG_CONFIG_PATH=$1/pkgconfig
	with_cmake pkg-config "$1"
}

with_meson() {
	local -x PKG_CONFIG_PATH=$1/pkgconfig
	meson setup "$TMP/meson" "$project/meson" && ninja -C "$TMP/meson" && runs meson "$1"
}

# version_is_right WANTED: what CMake wants, and whether this one serves
version_is_right() {
	configured find-package -DCMAKE_PREFIX_PATH="$MOVED" -DWANTED="$1"
}

# CMake breaks its lines where it likes.
says() {
	tr -s '\n ' ' ' < "$TMP/out" | grep -F "$1"
}

version_is_wrong() {
	! version_is_right "$1" > "$TMP/out" 2>&1 &&
		says "with requested version \"$1\"" && says "version: $VERSION"
}

without_its_library() {
	local file=$MOVED/lib/libnvmedmabuf.so.$VERSION found=yes
	mv "$file" "$TMP/away"
	configured find-package -DCMAKE_PREFIX_PATH="$MOVED" > "$TMP/out" 2>&1 || found=no
	mv "$TMP/away" "$file"
	[ "$found" = no ] && says "there is no $file"
}

# One line of pkg-config's file says where everything is; CMake's have none.
move() {
	mv "$STAGE/opt/nd" "$MOVED" &&
		sed -i "s|^prefix=/opt/nd$|prefix=$MOVED|" "$MOVED/lib/pkgconfig/libnvmedmabuf.pc" &&
		grep -x "prefix=$MOVED" "$MOVED/lib/pkgconfig/libnvmedmabuf.pc"
}

knows_no_prefix() {
	! grep -r /opt/nd "$MOVED/lib/cmake"
}

# missing PROGRAM: says so, as the reason to skip
missing() {
	! command -v "$1" > /dev/null && echo "no $1 (Debian package ${2:-$1})"
}

check "installs" userlib /opt/nd install
check "is moved" move
check "CMake's files do not know where they are" knows_no_prefix

if reason=$(missing cmake); then
	skip "CMake, find_package()" "$reason"
	skip "CMake, pkg_check_modules()" "$reason"
else
	check "CMake, find_package()" \
		with_cmake find-package "$MOVED/lib" -DCMAKE_PREFIX_PATH="$MOVED"
	check "CMake, pkg_check_modules()" with_pkg_config "$MOVED/lib"
	check "this version serves" version_is_right "$VERSION"
	check "this very version serves" version_is_right "$VERSION;EXACT"
	check "a later one is wanted" version_is_wrong "$VERSION.1"
	check "another major version is wanted" version_is_wrong "$((${VERSION%%.*} + 1))"
	check "says what is missing of it" without_its_library

	# A folder for each architecture, which is found through a symbolic link as well, and
	# headers in a folder of their own.
	check "installs in other folders" userlib /opt/usr LIBDIR=/opt/usr/lib/triplet \
		INCLUDEDIR=/opt/usr/include/nd install
	ln -s usr/lib "$STAGE/opt/lib"
	check "CMake, below a symbolic link" with_cmake find-package \
		"$STAGE/opt/usr/lib/triplet" \
		-Dlibnvmedmabuf_DIR="$STAGE/opt/lib/triplet/cmake/libnvmedmabuf"

	# What is not below PREFIX does not move with it.
	check "installs headers elsewhere" userlib "$TMP/apart" INCLUDEDIR="$TMP/headers" \
		DESTDIR= LDCONFIG=true install
	check "CMake, headers elsewhere" with_cmake find-package \
		"$TMP/apart/lib" -DCMAKE_PREFIX_PATH="$TMP/apart"
fi

if reason=$(missing meson) || reason=$(missing ninja ninja-build); then
	skip "Meson, dependency()" "$reason"
else
	check "Meson, dependency()" with_meson "$MOVED/lib"
fi

done_testing

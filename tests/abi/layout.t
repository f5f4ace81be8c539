#!/bin/bash
# SPDX-License-Identifier: MIT
#
# This test will check that structures, offsets and constants are those that
# were published, have no holes, and are the same for C and C++, 64 and 32 bits.

# shellcheck source-path=SCRIPTDIR
# shellcheck disable=SC2317 # functions are called through check
. "$(dirname "$0")/tap.sh"

UAPI=uapi/linux/nvme_dmabuf.h
HEADER=userlib/include/nvmedmabuf.h
INCLUDE=(-Iuapi -Iuserlib/include -Itests/abi)

c() {
	"$CC" -fsyntax-only -Wall -Wextra -Werror "${INCLUDE[@]}" -x c "$@"
}

cxx() {
	"$CXX" -fsyntax-only -Wall -Wextra -Werror "${INCLUDE[@]}" -x c++ "$@"
}

# everything HEADER SOURCE: SOURCE has a line for all that HEADER defines
everything() {
	perl -0777 -ne '
		my $uapi = $ARGV =~ /uapi/;
		s{/\*.*?\*/}{}gs;
		while (/^struct (\w+) \{(.*?)^\};/gms) {
			my ($struct, $body) = ($1, $2);
			print "SIZE($struct,\n";
			print "ALIGN($struct,\n" if $uapi;
			print "MEMBER($struct, $1,\n" while $body =~ /(\w+)(?:\[\d+\])?;/g;
		}
		print "EQUAL($1,\n" while /^#define (NVME_?DMABUF_\w+)[ \t]+\S/gm;
		print "EQUAL($1,\n" while /^\t(NVMEDMABUF_\w+) =/gm;
	' "$1" | sort > "$TMP/in-header"
	grep -oE '^((SIZE|ALIGN)\(\w+,|MEMBER\(\w+, \w+,|EQUAL\(\w+,)' "$2" | sort > "$TMP/in-source"
	[ -s "$TMP/in-header" ] && same "$TMP/in-source" "$TMP/in-header"
}

# uses COMPILER EXPRESSION: a call of the library's can be compiled
uses() {
	printf '#include <nvmedmabuf.h>\nint f(struct nvmedmabuf *c, struct nvmedmabuf_buffer *b);\n' > "$TMP/use.c"
	printf 'int f(struct nvmedmabuf *c, struct nvmedmabuf_buffer *b)\n{\n(void)c;(void)b;return %s;\n}\n' \
		"$2" >> "$TMP/use.c"
	"$1" "$TMP/use.c"
}

wants_a_newer_dialect() {
	! "$CXX" -fsyntax-only -std=c++14 "${INCLUDE[@]}" "$TMP/alone.cpp" 2> "$TMP/errors" &&
		grep 'needs C++17' "$TMP/errors"
}

# The ways to be compiled, and that each of them would notice.
echo '#include "layout.h"' | tee "$TMP/right.c" "$TMP/wrong.c" > "$TMP/hole.c"
echo 'struct s { int a, b; }; MEMBER(s, b, 4, 4);' >> "$TMP/right.c"
echo 'struct s { int a, b; }; MEMBER(s, b, 8, 4);' >> "$TMP/wrong.c"
echo 'struct s { char a; int b; }; SIZE(s, 8);' >> "$TMP/hole.c"
echo '#include <linux/nvme_dmabuf.h>' > "$TMP/uapi.c"
echo '#include <nvmedmabuf.h>' > "$TMP/header.c"

way() {
	local name=$1
	shift
	if ! "$@" "$TMP/header.c" 2> /dev/null && [[ $name = *32* ]]; then
		skip "$name" "no compiler or headers for it (gcc-multilib)"
		return
	fi
	check "$name: a right assertion passes" "$@" "$TMP/right.c"
	refuse "$name: a wrong assertion fails" "$@" "$TMP/wrong.c"
	refuse "$name: a hole is noticed" "$@" -Wpadded "$TMP/hole.c"
	check "$name: the module's interface" "$@" tests/abi/layout.c
	check "$name: the module's interface has no holes" "$@" -Wpadded tests/abi/layout.c
	check "$name: the library's structure" "$@" tests/abi/layout-library.c
	check "$name: the library's structure has no holes" "$@" -Wpadded tests/abi/layout-library.c
}

way "C, 64 bits" c -std=c11
way "C, 32 bits" c -std=c11 -m32
way "C++, 64 bits" cxx -std=c++17
way "C++, 32 bits" cxx -std=c++17 -m32

check "all of the module's interface is looked at" everything "$UAPI" tests/abi/layout.c
check "all of the library's structure is looked at" everything "$HEADER" tests/abi/layout-library.c

# What the CPU does, and what a drive does: one in place of the other does not compile.
for compiler in c cxx; do
	check "$compiler: what the CPU does" uses $compiler \
		'nvmedmabuf_buffer_begin_cpu(b, NVMEDMABUF_CPU_READ_WRITE)'
	refuse "$compiler: a drive's access is not the CPU's" uses $compiler \
		'nvmedmabuf_buffer_begin_cpu(b, NVMEDMABUF_ACCESS_READ)'
	check "$compiler: a drive's access" uses $compiler \
		'nvmedmabuf_export(c, 0, 0, NVMEDMABUF_ACCESS_WRITE, 0, 0)'
	refuse "$compiler: the CPU's is not a drive's" uses $compiler \
		'nvmedmabuf_export(c, 0, 0, NVMEDMABUF_CPU_WRITE, 0, 0)'
done
refuse "cxx: nor are the module's numbers" uses cxx \
	'nvmedmabuf_export(c, 0, 0, NVME_DMABUF_ACCESS_WRITE, 0, 0)'

# Each public header by itself, in the oldest dialects that programs use.
for header in nvmedmabuf.h nvmedmabuf_uring.h linux/nvme_dmabuf.h; do
	printf '#include <%s>\nint unused;\n' "$header" > "$TMP/alone.c"
	check "$header alone, C99" "$CC" -fsyntax-only -std=c99 -Wall -Wextra -Wpedantic -Werror \
		"${INCLUDE[@]}" -x c "$TMP/alone.c"
	check "$header alone, C++17" "$CXX" -fsyntax-only -std=c++17 -Wall -Wextra -Wpedantic -Werror \
		"${INCLUDE[@]}" -x c++ "$TMP/alone.c"
done

echo '#include <nvmedmabuf.hpp>' > "$TMP/alone.cpp"
for std in 17 20; do
	check "nvmedmabuf.hpp alone, C++$std" "$CXX" -fsyntax-only -std=c++$std -Wall -Wextra \
		-Wpedantic -Wshadow -Wconversion -Werror "${INCLUDE[@]}" "$TMP/alone.cpp"
done
check "nvmedmabuf.hpp says what it needs to C++14" wants_a_newer_dialect

# Old dialects know neither long long nor variables declared late.
check "the module's header is C89 but for long long" c -std=c89 -pedantic -Wno-long-long "$TMP/uapi.c"
check "the module's header is C99" c -std=c99 -pedantic "$TMP/uapi.c"
check "the module's header is C++98 but for long long" cxx -std=c++98 -pedantic -Wno-long-long "$TMP/uapi.c"
check "the library's header is C99" c -std=c99 -pedantic "$TMP/header.c"
check "the library's header is C11" c -std=c11 -pedantic "$TMP/header.c"
check "the library's header is C++11" cxx -std=c++11 -pedantic "$TMP/header.c"
check "the library's header is C++17" cxx -std=c++17 -pedantic "$TMP/header.c"

done_testing

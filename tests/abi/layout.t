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
	' "$1" | sort > "$TMP/in-header"
	grep -oE '^((SIZE|ALIGN)\(\w+,|MEMBER\(\w+, \w+,|EQUAL\(\w+,)' "$2" | sort > "$TMP/in-source"
	[ -s "$TMP/in-header" ] && same "$TMP/in-source" "$TMP/in-header"
}

# A flag of the library's has no bit of another's, nor of any of the module's.
flags_are_apart() {
	local flags=() all=() flag other
	mapfile -t flags < <(sed -nE 's/^#define (NVMEDMABUF_\w+)\s+\(1U? << .*/\1/p' "$HEADER")
	mapfile -t all < <(sed -nE 's/^#define (NVME_DMABUF_\w+)\s+\(1U(LL)? << .*/\1/p' "$UAPI")
	[ ${#flags[@]} -ge 6 ] && [ ${#all[@]} -ge 25 ] || return 1
	echo '#include <nvmedmabuf.h>' > "$TMP/apart.c"
	echo '#include "layout.h"' >> "$TMP/apart.c"
	for flag in "${flags[@]}"; do
		for other in "${all[@]}"; do
			echo "EQUAL($flag & $other, 0);"
		done
		all+=("$flag")
	done >> "$TMP/apart.c"
	c "$TMP/apart.c"
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
check "flags of different families cannot be mistaken" flags_are_apart

# Old dialects know neither long long nor variables declared late.
check "the module's header is C89 but for long long" c -std=c89 -pedantic -Wno-long-long "$TMP/uapi.c"
check "the module's header is C99" c -std=c99 -pedantic "$TMP/uapi.c"
check "the module's header is C++98 but for long long" cxx -std=c++98 -pedantic -Wno-long-long "$TMP/uapi.c"
check "the library's header is C99" c -std=c99 -pedantic "$TMP/header.c"
check "the library's header is C11" c -std=c11 -pedantic "$TMP/header.c"
check "the library's header is C++11" cxx -std=c++11 -pedantic "$TMP/header.c"
check "the library's header is C++17" cxx -std=c++17 -pedantic "$TMP/header.c"

done_testing

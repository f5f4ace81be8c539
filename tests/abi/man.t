#!/bin/bash
# SPDX-License-Identifier: MIT
#
# This test will check that man(1) finds a page for every function of the
# library, that its prototype there is the header's, and that pages are well
# formed and their examples compile.

# shellcheck source-path=SCRIPTDIR
# shellcheck disable=SC2317 # functions are called through check
. "$(dirname "$0")/tap.sh"
need_library

HEADER=userlib/include/nvmedmabuf.h
MAN=$TMP/usr/share/man/man3
PAGES=(userlib/man/*.3)

# Every prototype in a file, one a line, without names of storage classes.
prototypes_of_header() {
	perl -0777 -ne '
		s{/\*.*?\*/}{}gs; s/^#.*//gm; s/^static inline //gm;
		while (/^([a-z][\w ]*?[ *]+)(nvmedmabuf_\w+)\(([^()]*)\)[;\s]*[\n{]/gm) {
			my ($type, $name, $args) = ($1, $2, $3);
			$args =~ s/\s+/ /g; $type =~ s/\s+$//;
			print "$type $name($args)\n";
		}
	' "$1" | sort
}

prototypes_of_pages() {
	perl -0777 -ne '
		while (/^\.Ft (.*)\n\.Fo (\w+)\n((?:\.Fa .*\n)+)\.Fc$/gm) {
			my ($type, $name, $args) = ($1, $2, $3);
			print "$type $name(", join(", ", map { s/^"|"$//gr } $args =~ /^\.Fa (.*)$/gm), ")\n";
		}
	' "$@" | sort
}

prototypes() {
	prototypes_of_header "$HEADER" > "$TMP/header"
	prototypes_of_pages "${PAGES[@]}" > "$TMP/pages"
	[ -s "$TMP/header" ] && same "$TMP/pages" "$TMP/header"
}

install_pages() {
	make -C userlib install DESTDIR="$TMP" PREFIX=/usr BUILD="$USERLIB"
}

# page_of FUNCTION: its page is there, or a link to one that names and declares it
page_of() {
	local page=$MAN/$1.3 link
	if link=$(sed -n '1s/^\.so man3\///p' "$page") && [ -n "$link" ]; then
		page=$MAN/$link
	fi
	sed -n '/^\.Sh NAME/,/^\.Nd/p' "$page" | grep -xE "\.Nm $1( ,)?" &&
		grep -x ".Fo $1" "$page"
}

# examples PAGE: its example compiles as C
examples() {
	sed -n '/^\.Sh EXAMPLES/,/^\.Ed/p' "$1" | sed '/^\./d; s/\\e/\\/g' > "$TMP/example.c"
	[ -s "$TMP/example.c" ] &&
		"$CC" -Wall -Wextra -Werror -Iuapi -Iuserlib/include -fsyntax-only "$TMP/example.c"
}

# The structures that pages show are those of the headers, comments aside.
structures() {
	perl -0777 -e '
		sub structs {
			my %s;
			local @ARGV = @_;
			while (my $text = <>) {
				$text =~ s{/\*.*?\*/}{}gs;
				$text =~ s/__aligned_u64/__u64/g;
				while ($text =~ /^struct (\w+) \{\n(.*?)^\};/gms) {
					my ($name, $body) = ($1, $2);
					$body =~ s/\s+/ /g;
					$s{$name} = $body;
				}
			}
			return %s;
		}
		my $pages = shift;
		my %shown = structs(@ARGV[0 .. $pages - 1]);
		my %real = structs(@ARGV[$pages .. $#ARGV]);
		die "no structure is shown\n" if !%shown;
		for (sort keys %shown) {
			die "struct $_: $shown{$_}\nis:   $real{$_}\n" if $shown{$_} ne $real{$_};
		}
	' ${#PAGES[@]} "${PAGES[@]}" "$HEADER" uapi/linux/nvme_dmabuf.h
}

check "pages can be installed" install_pages
while read -r name; do
	check "$name has a page" page_of "$name"
done < <(sed 's/@.*//' tests/abi/symbols.list;
	grep -oE '^static inline .*\bnvmedmabuf_\w+\(' "$HEADER" | grep -oE 'nvmedmabuf_\w+')
refuse "a function that does not exist has none" page_of nvmedmabuf_nothing
check "prototypes are the header's" prototypes
check "structures are the headers'" structures

for page in "${PAGES[@]}"; do
	check "example in ${page##*/}" examples "$page"
	if command -v mandoc > /dev/null; then
		check "${page##*/} is well formed" mandoc -Tlint -Wwarning "$page"
	else
		skip "${page##*/} is well formed" "no mandoc (Debian package mandoc)"
	fi
done

done_testing

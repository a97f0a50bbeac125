#!/bin/sh
# headers.sh -- each header compiles alone, with gcc and with clang, and its
# guard is CHEOPS_FOLDER_FILE_H on the first and the last line of code.
set -eu
cd "$(dirname "$0")/../.."

strict='-std=c11 -I. -fsyntax-only -Wall -Wextra -Wpedantic -Wshadow
	-Wconversion -Wstrict-prototypes -Wundef -Werror'
world='-D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -DFUSE_USE_VERSION=312'
libs=$(pkg-config --cflags fuse3 libcurl jansson yaml-0.1 rocksdb uuid \
	libmicrohttpd gnutls nettle)
bad=0

for h in $(find core drivers fs -name '*.h' | sort); do
	case $h in
	core/*) flags=$strict ;;
	*) flags="$strict $world $libs" ;;
	esac
	for cc in gcc clang; do
		# shellcheck disable=SC2086 # flags are words
		if ! printf '#include "%s"\n#include "%s"\n' "$h" "$h" |
			$cc $flags -x c -; then
			echo "^ $h does not compile alone with $cc" >&2
			bad=1
		fi
	done
	guard=CHEOPS_$(echo "${h%.h}" | tr 'a-z/-' 'A-Z__')_H
	code=$(grep '^#' "$h" | sed -n 1,2p)
	want="#ifndef $guard
#define $guard"
	if [ "$code" != "$want" ] || [ "$(tail -n 1 "$h")" != '#endif' ]; then
		echo "$h: its guard should be $guard, first and last" >&2
		bad=1
	fi
done
exit $bad

#!/bin/sh
# layers.sh ARCHIVE -- the direction of dependency, as a test.
#
#   core     includes core and standard C, and calls nothing but the list below
#   drivers  includes drivers, and core's front doors
#   fs       includes fs, drivers' interfaces, and core's front doors
#   tests/   may include anything; nothing includes tests
set -eu

doors='core/(cheops|view|message|reader|id|name|doc|trace|check|err|list|mem|strbuf|wire)\.h'
std='(errno|inttypes|limits|stdarg|stdatomic|stdbool|stddef|stdint|stdio|stdlib|string)\.h'
calls='abort|calloc|realloc|free|mem(cpy|move|cmp|set|chr)|str(len|cmp)|vsnprintf|fprintf|stderr'
pure='json_[a-z_0-9]+|jsonp_[a-z_]+|yaml_[a-z_]+|nettle_sha256_[a-z]+'
bad=0

only() { # folder, pattern of what may follow #include, files left out
	if grep -rnE --include='*.[ch]' '^ *# *include' "$1" | grep -vE "include +$2" |
		grep -vE "^($3):"; then
		echo "^ $1/ may not include that" >&2
		bad=1
	fi
}
only core "(<$std>|\"core/[a-z_]+\.h\")" 'core/(doc|doc_[a-z]+|hash)\.c'
only drivers "(<.*>|\"($doors|drivers/[a-z_/]+\.h)\")" ''
only fs "(<.*>|\"($doors|drivers/(store/store|net/net|net/codec|net/keys|platform/platform)\.h|fs/[a-z_]+\.h)\")" ''
for d in store net platform; do
	if grep -rnE "include +\"drivers/" drivers/$d | grep -vE "\"drivers/$d/"; then
		echo "^ drivers never include each other" >&2
		bad=1
	fi
done
if grep -rnE '<(jansson|yaml|nettle)' core | grep -vE '^core/(doc|doc_[a-z]+)\.c:.*<(jansson|yaml)\.h>|^core/hash\.c:.*<nettle/sha2\.h>'; then
	echo "^ jansson and libyaml belong in doc.c, nettle in hash.c" >&2
	bad=1
fi

# What core.a asks of the outside, less what it defines itself.
nm -g "$1" | awk '$1 == "U" { want[$2] } $2 ~ /[TDBRV]/ { have[$3] }
	END { for (s in want) if (!(s in have)) print s }' | sort |
	grep -vxE "$calls|$pure|_GLOBAL_OFFSET_TABLE_|__(a|t|ub)san_.*|__[a-z]+_chk(_fail)?|__stack_chk_fail" &&
	{ echo "^ core/ may not call that" >&2; bad=1; }
exit $bad

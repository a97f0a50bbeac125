#!/bin/sh
# man.sh -- the manual pages are clean mdoc, and refer to pages that exist.
set -eu
cd "$(dirname "$0")/../.."

pages=$(find man -name '*.[1-9]' | sort)
if [ -z "$pages" ]; then
	echo "no pages in man/" >&2
	exit 1
fi
bad=0
# shellcheck disable=SC2086 # names are words
mandoc -Tlint -Wwarning $pages || bad=1

# References to our own pages: .Xr cheops.yaml 5
for p in $pages; do
	sed -n 's/^\.Xr \([^ ]*cheops[^ ]*\) \([1-9]\).*/\1.\2/p' "$p" |
		sort -u | while read -r ref; do
		[ -e "man/$ref" ] || echo "$p: no page man/$ref"
	done
done | grep . >&2 && bad=1
exit $bad

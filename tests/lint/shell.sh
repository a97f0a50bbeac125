#!/bin/sh
# shell.sh -- shellcheck over every script; where it is not installed, the
# shells' own syntax check.
set -eu
cd "$(dirname "$0")/../.."

scripts=$(find tests mnt-examples .ci -type f \
	\( -name '*.sh' -o -name '*.bash' -o -perm -u+x ! -name '*.bats' \) \
	-exec grep -lE '^#!.*/(ba)?sh|^# shellcheck shell' {} + | sort)
if command -v shellcheck >/dev/null; then
	# shellcheck disable=SC2086 # names are words
	shellcheck -x -S warning -e SC1007 $scripts
	# In bats files: variables that cross subshells or come from lib.bash,
	# and code that another shell is to expand.
	shellcheck -x -e SC2012,SC2016,SC2030,SC2031,SC2034,SC2119,SC2120 \
		-e SC2154,SC2217,SC2314,SC2315 tests/mnt/*.bats
else
	for s in $scripts; do
		bash -n "$s"
	done
fi

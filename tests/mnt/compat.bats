#!/usr/bin/env bats
# compat.bats -- a store of an earlier version is read by this one.

load lib

setup() {
	work_setup
}

@test "compat: a store of format 1 opens with all that was in it" {
	site_config nantes
	tar -xzf "$BATS_TEST_DIRNAME/../compat/store-1.tar.gz" -C "$W/nantes"
	printf 'kind: Thing\nspec:\n  replicas: 3\n' >"$W/was.yaml"
	site_up nantes
	cmp "$M/web/spec" "$W/was.yaml"
	holds "$M/web/driver" $'directory\n'
	holds "$M/web/paris/patch" $'{"spec": {"replicas": 1}}\n'
	grep -q '^desired: 5a754d7757891c24+263c5c560f6665fb$' \
		"$M/web/paris/status"
	grep -qx paris "$M/web/sites"
	wait_for 10 grep -qx ready "$M/web/nantes/state"
	cmp "$R/web" "$W/was.yaml"
	# What was deleted comes back from its trash.
	mv "$M"/.trash/gone@nantes-1 "$M/gone"
	holds "$M/gone/spec" $'bye\n'
	# It goes on in a life of its own.
	grep -q '^epoch: 2$' "$M/.sites/nantes/status"
	echo 'kind: Other' >"$M/web/spec"
	holds "$M/web/spec" $'kind: Other\n'
}

@test "compat: a store of a later format is refused, and left as it is" {
	local before

	site_up nantes
	site_down nantes
	echo 'cheops store 2' >"$W/nantes/store/db/FORMAT"
	before=$(find "$W/nantes/store/db" -type f -exec sha256sum {} + | sort)
	refute site_up nantes
	[ "$before" = "$(find "$W/nantes/store/db" -type f \
		-exec sha256sum {} + | sort)" ]
}

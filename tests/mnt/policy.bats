#!/usr/bin/env bats
# policy.bats -- the file policy: what may be done for a resource.

load lib

setup() {
	work_setup
	site_up nantes
}

event() { # WORD [NAME]
	jq -es --arg e "$1" --arg n "${2:-web}" \
		'any(.[]; .event == $e and .resource == $n)' "$M/.events"
}

policy_has() { # LINE
	grep -qx "$1" "$M/web/policy"
}

message_has() { # TEXT
	field "$M/web/nantes/status" message | grep -q "$1"
}

@test "policy: reading lists all keys with the words in force" {
	mkdir "$M/web"
	equal "$(cat "$M/web/policy")" 'adopt fail
drift repair
merge fields
on-remove withdraw'
}

@test "policy: one key a write; several lines set several" {
	mkdir "$M/web"
	echo 'on-remove keep' >"$M/web/policy"
	policy_has 'on-remove keep'
	policy_has 'drift repair'
	printf 'drift report\nmerge never\n' >"$M/web/policy"
	equal "$(cat "$M/web/policy")" 'adopt fail
drift report
merge never
on-remove keep'
	echo 'adopt take' >>"$M/web/policy"
	policy_has 'adopt take'
	policy_has 'drift report'
	sed -i 's/^drift .*/drift ignore/' "$M/web/policy"
	policy_has 'drift ignore'
	site_restart nantes
	policy_has 'drift ignore'
	policy_has 'merge never'
}

@test "policy: what no key or word is, is refused, and nothing changes" {
	mkdir "$M/web"
	errno_is EINVAL 'put("web/policy", "colour blue\n")'
	grep -q "adopt, drift, merge, on-remove" "$M/web/error"
	errno_is EINVAL 'put("web/policy", "drift report\nadopt yes\n")'
	grep -q 'line 2: adopt takes fail or take' "$M/web/error"
	errno_is EINVAL 'put("web/policy", "drift")'
	errno_is EINVAL 'put("web/policy", "\n")'
	# At write() already, which is all that echo reports.
	refute bash -c "echo 'drift mend' >'$M/web/policy'"
	policy_has 'drift repair'
	policy_has 'adopt fail'
}

@test "on-remove keep: what is there stays when the site leaves, as orphaned" {
	resource
	echo 'on-remove keep' >"$M/web/policy"
	rmdir "$M/web/nantes"
	wait_for 10 grep -qx web "$M/.drivers/directory/orphaned"
	holds "$R/web" $'one\n'
	wait_for 5 state idle
	[ "$(wc -l <"$M/web/status")" = 1 ]
	site_restart nantes
	grep -qx web "$M/.drivers/directory/orphaned"
	# It is the resource's own when that comes back.
	echo two >"$M/web/spec"
	mkdir "$M/web/nantes"
	wait_for 10 state ready
	holds "$R/web" $'two\n'
	holds "$M/.drivers/directory/orphaned" ''
}

@test "on-remove keep: it stays when the resource is deleted, too" {
	resource
	echo 'on-remove keep' >"$M/web/policy"
	rm -rf "$M/web"
	wait_for 10 grep -qx web "$M/.drivers/directory/orphaned"
	holds "$R/web" $'one\n'
	# Another resource of that name finds a foreign file.
	mkdir "$M/web" "$M/web/nantes"
	echo other >"$M/web/spec"
	wait_for 10 state failed
	holds "$R/web" $'one\n'
}

@test "on-remove keep: a resource made in its place at once changes nothing" {
	resource
	echo 'on-remove keep' >"$M/web/policy"
	rm -rf "$M/web"
	mkdir "$M/web" "$M/web/nantes"
	echo other >"$M/web/spec"
	wait_for 10 state failed
	holds "$R/web" $'one\n'
}

@test "on-remove withdraw: written back in time, it counts" {
	resource
	echo 'on-remove keep' >"$M/web/policy"
	echo 'on-remove withdraw' >"$M/web/policy"
	rmdir "$M/web/nantes"
	wait_for 10 test ! -e "$R/web"
	holds "$M/.drivers/directory/orphaned" ''
}

@test "driver none: what is left is listed until it is driven again" {
	resource
	echo none >"$M/web/driver"
	wait_for 5 grep -qx web "$M/.drivers/directory/orphaned"
	echo directory >"$M/web/driver"
	wait_for 5 state ready
	holds "$M/.drivers/directory/orphaned" ''
}

@test "adopt take: a foreign file is taken over, also after the refusal" {
	echo theirs >"$R/web"
	mkdir "$M/web" "$M/web/nantes"
	echo ours >"$M/web/spec"
	wait_for 10 state failed
	message_has 'adopt take'
	holds "$R/web" $'theirs\n'
	echo 'adopt take' >"$M/web/policy"
	wait_for 10 state ready
	holds "$R/web" $'ours\n'
	rmdir "$M/web/nantes"
	wait_for 10 test ! -e "$R/web"
}

@test "adopt take: but not a directory" {
	mkdir "$R/web"
	mkdir "$M/web" "$M/web/nantes"
	echo 'adopt take' >"$M/web/policy"
	echo ours >"$M/web/spec"
	wait_for 10 state failed
	[ -d "$R/web" ]
}

@test "drift repair: what is changed there is put back" {
	resource
	echo changed >"$R/web"
	wait_for 10 holds "$R/web" $'one\n'
	wait_for 5 event drift
}

@test "drift report: degraded, told once, and left" {
	resource
	echo 'drift report' >"$M/web/policy"
	wait_for 5 state ready
	echo changed >"$R/web"
	wait_for 10 state degraded
	message_has 'drift report'
	holds_for 3 holds "$R/web" $'changed\n'
	equal "$(jq -s 'map(select(.event == "drift")) | length' \
		"$M/.events")" 1
	# A new version is applied all the same.
	echo two >"$M/web/spec"
	wait_for 10 holds "$R/web" $'two\n'
	wait_for 10 state ready
	echo changed >"$R/web"
	wait_for 10 state degraded
	echo 'drift repair' >"$M/web/policy"
	wait_for 10 holds "$R/web" $'two\n'
	wait_for 10 state ready
}

@test "drift ignore: ready, and message says so" {
	resource
	echo 'drift ignore' >"$M/web/policy"
	echo changed >"$R/web"
	wait_for 10 message_has 'drift ignore'
	state ready
	refute event drift
	holds "$R/web" $'changed\n'
}

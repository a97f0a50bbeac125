#!/usr/bin/env bats
# hold.bats -- the file hold: nothing is applied or withdrawn for a while.

load lib

setup() {
	work_setup
	site_up nantes
}

message_has() { # TEXT
	field "$M/web/nantes/status" message | grep -q "$1"
}

@test "hold: none to begin with; a duration; what remains" {
	mkdir "$M/web"
	word "$M/web/hold" 0s
	echo 30m >"$M/web/hold"
	word "$M/web/hold" 30m
	echo 20s >"$M/web/hold"
	wait_for 5 grep -qE '^1[5-9]s$' "$M/web/hold"
	echo 0s >"$M/web/hold"
	word "$M/web/hold" 0s
}

@test "hold: what is no duration is refused" {
	local bad

	mkdir "$M/web"
	for bad in soon 5 -1s 1w '1 h' 99999h; do
		errno_is EINVAL "put('web/hold', '$bad\\n')"
	done
	grep -q 8784h "$M/web/error"
	word "$M/web/hold" 0s
}

@test "hold: a version waits, and is applied when it is ended" {
	resource
	echo 30m >"$M/web/hold"
	state ready
	echo two >"$M/web/spec"
	wait_for 5 state held
	message_has 'hold: nothing is changed here before 20'
	holds_for 2 holds "$R/web" $'one\n'
	echo 0s >"$M/web/hold"
	wait_for 5 holds "$R/web" $'two\n'
	wait_for 5 state ready
}

@test "hold: it ends by itself" {
	resource
	echo 2s >"$M/web/hold"
	echo two >"$M/web/spec"
	wait_for 5 state held
	wait_for 10 holds "$R/web" $'two\n'
	wait_for 5 state ready
	word "$M/web/hold" 0s
}

@test "hold: nothing is withdrawn, by rmdir or rm -r" {
	resource
	resource app
	echo 30m >"$M/web/hold"
	echo 30m >"$M/app/hold"
	rmdir "$M/web/nantes"
	rm -rf "$M/app"
	wait_for 10 grep -qE 'nantes +held' "$M/web/status"
	wait_for 10 grep -qx 'nantes: held' "$M/.trash"/app@*/status
	holds_for 3 test -e "$R/web" -a -e "$R/app"
	# What is restored is held for what was left of it.
	mv "$M/.trash"/app@* "$M/app"
	word "$M/app/hold" 30m
	wait_for 5 state held app
	echo 0s >"$M/app/hold"
	wait_for 5 state ready app
	echo 0s >"$M/web/hold"
	wait_for 10 test ! -e "$R/web"
}

@test "hold: is kept over a restart, kill -9 too" {
	resource
	echo 30m >"$M/web/hold"
	echo two >"$M/web/spec"
	wait_for 5 state held
	site_restart nantes
	wait_for 5 state held
	site_kill9 nantes
	site_up nantes
	wait_for 5 state held
	grep -qE '^(29|30)m$' "$M/web/hold"
	holds_for 2 holds "$R/web" $'one\n'
	echo 0s >"$M/web/hold"
	wait_for 5 holds "$R/web" $'two\n'
}

@test "hold: stops each site" {
	site_down nantes
	rm "$W/nantes/cheops.yaml"
	pair_up
	mkdir "$M/web" "$M/web/nantes" "$M/web/paris"
	echo one >"$M/web/spec"
	wait_for 15 state ready
	echo 30m >"$M/web/hold"
	wait_for 10 word "$(mnt paris)/web/hold" 30m
	echo two >"$(mnt paris)/web/spec"
	wait_for 10 grep -qE 'nantes +held' "$M/web/status"
	wait_for 10 grep -qE 'paris +held' "$M/web/status"
	holds "$W/paris/root/web" $'one\n'
	echo 0s >"$(mnt paris)/web/hold"
	wait_for 10 holds "$R/web" $'two\n'
	wait_for 10 holds "$W/paris/root/web" $'two\n'
	wait_for 15 state ready
}

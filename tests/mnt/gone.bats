#!/usr/bin/env bats
# gone.bats -- rmdir .sites/NAME: a site is declared gone for good.

load lib

event_has() { # SITE WORD OF TEXT -- an event that SITE told
	jq -es --arg e "$2" --arg s "$3" --arg t "$4" \
		'any(.[]; .event == $e and .site == $s and
			((.message // "") | contains($t)))' \
		"$(mnt "$1")/.events"
}

no_site() { # NAME SEEN-BY
	[ ! -e "$(mnt "$2")/.sites/$1" ]
}

@test "gone: a site that is not dead is not declared gone" {
	pair_up
	errno_is EBUSY 'os.rmdir(m + "/.sites/paris")'
	wait_for 5 event_has nantes refused paris 'it is not dead'
	errno_is EBUSY 'os.rmdir(m + "/.sites/nantes")'
	errno_is ENOENT 'os.rmdir(m + "/.sites/lyon")'
	heartbeat paris alive
}

@test "gone: it is owed nothing, is refused under its old identity, and its name is free" {
	local uuid

	three_up
	mkdir "$M/web" "$M"/web/{nantes,paris,lyon} "$M/old" "$M"/old/{paris,lyon}
	echo one >"$M/web/spec"
	echo one >"$M/old/spec"
	wait_for 20 state ready
	wait_for 20 state ready old
	echo '{}' >"$M/web/lyon/patch" || true
	site_kill9 lyon
	rm -rf "$M/old"
	uuid=$(field "$M/.sites/lyon/status" uuid)
	wait_for 20 heartbeat lyon dead
	wait_for 20 heartbeat lyon dead paris
	grep -qx 'lyon: removing' "$M/.trash"/old@*/status
	rmdir "$M/.sites/lyon"
	no_site lyon nantes
	wait_for 10 no_site lyon paris
	wait_for 5 event_has nantes left lyon 'declared gone'
	wait_for 5 event_has paris left lyon 'declared gone'
	# Resources show it no more, and nobody waits for it.
	wait_for 10 test ! -e "$M/web/lyon"
	wait_for 10 test ! -e "$(mnt paris)/web/lyon"
	wait_for 10 state ready
	timeout 20 sync "$M/web/.wait"
	wait_for 10 grep -qx 'lyon: removed' "$M/.trash"/old@*/status
	site_restart nantes
	no_site lyon nantes
	# It returns, and is refused, both ways.
	site_up lyon
	wait_for 20 event_has nantes refused lyon 'declared gone'
	wait_for 20 event_has lyon refused paris 'declared gone'
	echo two >"$(mnt lyon)/web/spec"
	echo three >"$M/web/spec"
	wait_for 10 in_force web "$M/web/spec" nantes paris
	holds_for 3 holds "$(mnt paris)/web/spec" $'three\n'
	no_site lyon nantes
	site_down lyon
	# Another site may have its name.
	rm -r "$W/lyon/store" "$W"/lyon/root/* "$W"/keys/lyon.*
	"$CHEOPS" keys site "$W/keys" lyon
	site_up lyon
	wait_for 20 heartbeat lyon alive
	wait_for 20 heartbeat lyon alive paris
	[ "$(field "$M/.sites/lyon/status" uuid)" != "$uuid" ]
	mkdir "$M/web/lyon"
	wait_for 20 in_force web "$M/web/spec" lyon
	wait_for 20 ready_on web lyon
}

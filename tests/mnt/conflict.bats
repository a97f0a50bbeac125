#!/usr/bin/env bats
# conflict.bats -- two sites write at once: fields are merged, and what
# contradicts stays apart until someone chooses.

load lib

setup() {
	work_setup
	three_up
}

# web, on all three, in force.
shared() { # TEXT
	printf '%s' "$1" >"$W/spec"
	mkdir "$M/web" "$M/web/nantes" "$M/web/paris" "$M/web/lyon"
	cp "$W/spec" "$M/web/spec"
	wait_for 15 in_force web "$W/spec" nantes paris lyon
	wait_for 10 ready_on web nantes paris lyon
}

# Cut paris off, write FILE of web on both sides, heal. What paris writes is
# the later one.
apart() { # FILE TEXT-OF-NANTES TEXT-OF-PARIS
	link_cut paris
	wait_for 15 heartbeat paris dead
	wait_for 15 heartbeat nantes dead paris
	printf '%s' "$2" >"$M/web/$1"
	printf '%s' "$3" >"$(mnt paris)/web/$1"
	link_heal paris
	wait_for 15 all_alive
}

on_all() { # COMMAND... -- with a site's name behind it
	local s

	for s in nantes paris lyon; do
		"$@" "$s" || return 1
	done
}

state_of() { # WANT SITE
	word "$(mnt "$2")/web/state" "$1"
}
spec_of() { # FILE SITE
	cmp -s "$1" "$(mnt "$2")/web/spec"
}
conflicts_of() { # NAMES SITE -- on one line
	[ "$(names "$(mnt "$2")/web/conflicts")" = "$1" ]
}
event_of() { # EVENT SITE
	jq -es --arg e "$1" 'any(.event == $e and .resource == "web")' \
		"$(mnt "$2")/.events" >/dev/null
}

# Two versions of spec that contradict each other; paris's is shown.
contradict() {
	shared $'a: 1\nb: 1\n'
	apart spec $'a: 2\nb: 1\n' $'a: 3\nb: 1\n'
	wait_for 15 on_all state_of conflict
	wait_for 5 on_all event_of conflict
	LEFT=$(names "$M/web/conflicts")
	LEFT=${LEFT%% *}
}

@test "merge: different fields, written at once, become one everywhere" {
	shared $'# what we run\nimage: "web:1.10"\nreplicas: 0x2 # two\nports: [80, 443]\nenv: {A: yes}\n'
	apart spec $'image: "web:1.11"\nreplicas: 0x2\nports: [80, 443]\nenv: {A: yes, B: no}\n' \
		$'ports: [8080]\nreplicas: 0x2\nenv: {A: yes, C: on}\nimage: "web:1.10"\nlast: 1\n'
	printf 'image: "web:1.11"\nreplicas: 0x2\nports: [8080]\n' >"$W/t"
	printf 'env: {A: yes, B: no, C: on}\nlast: 1\n' >>"$W/t"
	# Which of two new keys stands first is not said, but the same for all.
	sed 's/B: no, C: on/C: on, B: no/' "$W/t" >"$W/u"
	merged() {
		cmp -s "$W/t" "$(mnt "$1")/web/spec" ||
			cmp -s "$W/u" "$(mnt "$1")/web/spec"
	}
	wait_for 15 on_all merged
	cp "$M/web/spec" "$W/t"
	on_all spec_of "$W/t"
	wait_for 10 in_force web "$W/t" nantes paris lyon
	wait_for 10 on_all state_of ready
	on_all conflicts_of ''
	on_all event_of merge
	refute event_of conflict nantes
	refute event_of conflict paris
	equal "$(jq -rs 'map(select(.event == "merge")) | length' \
		"$(mnt lyon)/.events")" 1
}

@test "conflict: one field in two ways stays apart, the base beside it" {
	contradict
	[[ $LEFT =~ ^20[0-9TZ:-]+-nantes-[0-9a-f]{8}$ ]]
	on_all conflicts_of "$LEFT $LEFT.base"
	holds "$M/web/conflicts/$LEFT" $'a: 2\nb: 1\n'
	holds "$M/web/conflicts/$LEFT.base" $'a: 1\nb: 1\n'
	jq -es 'any(.event == "conflict" and
		(.message | contains(".a is changed in two ways")))' "$M/.events"
	# cp chooses.
	cp "$M/web/conflicts/$LEFT" "$M/web/spec"
	printf 'a: 2\nb: 1\n' >"$W/t"
	wait_for 10 on_all spec_of "$W/t"
	wait_for 10 on_all state_of ready
	on_all conflicts_of ''
	wait_for 5 on_all event_of resolved
	wait_for 10 in_force web "$W/t" nantes paris lyon
}

@test "conflict: rm discards one, once grace is over" {
	contradict
	site_restart lyon
	wait_for 15 all_alive
	rm "$(mnt lyon)/web/conflicts/$LEFT.base"
	conflicts_of "$LEFT $LEFT.base" lyon
	rm "$(mnt lyon)/web/conflicts/$LEFT"
	conflicts_of '' lyon
	refute rm "$(mnt lyon)/web/conflicts/$LEFT" 2>/dev/null
	printf 'a: 3\nb: 1\n' >"$W/t"
	wait_for 15 on_all state_of ready
	on_all conflicts_of ''
	on_all spec_of "$W/t"
	wait_for 5 on_all event_of resolved
	in_force web "$W/t" nantes paris lyon
}

@test "conflict: rm -r within grace keeps all versions in .trash" {
	local t

	contradict
	rm -r "$M/web" # Each file first: no name may be gone before its turn.
	t=$(names "$M/.trash")
	wait_for 10 test ! -e "$W/paris/root/web"
	wait_for 10 test ! -e "$W/lyon/root/web"
	mv "$M/.trash/$t" "$M/web"
	wait_for 10 on_all state_of conflict
	holds "$M/web/spec" $'a: 3\nb: 1\n'
	cat "$M"/web/conflicts/* | cmp - <(printf 'a: 2\nb: 1\n')
	cp "$M/web/spec" "$W/t"
	wait_for 10 in_force web "$W/t" nantes paris lyon
	# What was discarded by rm -r does not go later.
	holds_for 2 state_of conflict nantes
}

@test "patches: merged, or apart as spec is" {
	local p

	p=$(mnt paris)
	shared $'a: 1\nb: 1\nc: 1\n'
	apart lyon/patch 'a: 5' '{"b": null}'
	there() {
		holds "$(mnt "$1")/web/lyon/spec" $'a: 5\nc: 1\n'
	}
	wait_for 15 on_all there
	wait_for 10 on_all state_of ready
	apart lyon/patch 'a: 6' 'a: 7'
	wait_for 15 on_all state_of conflict
	[[ $(names "$M/web/conflicts") =~ \.patch\ .*\.patch\.base$ ]]
	cp "$p"/web/conflicts/*.patch "$p/web/lyon/patch"
	wait_for 10 on_all state_of ready
	holds "$M/web/lyon/patch" 'a: 6'
}

@test "driver: two words at once are a conflict, and neither is lost" {
	shared $'a: 1\n'
	apart driver $'none\n' $'directory\n'
	# Equal to what was there is no write; none is all there is.
	wait_for 15 on_all state_of idle
	apart driver $'directory\n' $'none\n'
	wait_for 15 on_all state_of ready
	link_cut paris
	wait_for 15 heartbeat paris dead
	wait_for 15 heartbeat nantes dead paris
	echo none >"$M/web/driver"
	echo none >"$(mnt paris)/web/driver"
	echo directory >"$(mnt paris)/web/driver"
	link_heal paris
	wait_for 15 on_all state_of conflict
	holds "$M/web/driver" $'directory\n'
	[[ $(names "$M/web/conflicts") =~ -nantes-[0-9a-f]{8}\.driver$ ]]
	cat "$M"/web/conflicts/*.driver | cmp - <(echo none)
	jq -es 'any(.event == "conflict" and (.message |
		contains("none of nantes") and contains("directory of paris")))' \
		"$M/.events"
	echo directory >"$(mnt lyon)/web/driver"
	wait_for 10 on_all state_of ready
	on_all conflicts_of ''
}

@test "mode: two at once are told, and the other can be read" {
	shared $'a: 1\n'
	link_cut paris
	wait_for 15 heartbeat paris dead
	wait_for 15 heartbeat nantes dead paris
	chmod 750 "$M/web"
	chmod 711 "$(mnt paris)/web"
	link_heal paris
	told() {
		event_of conflict "$1" &&
			[[ $(names "$(mnt "$1")/web/conflicts") =~ \.mode$ ]]
	}
	wait_for 15 on_all told
	state_of ready nantes
	equal "$(cat "$M"/web/conflicts/*.mode)" "0750 root root"
	chmod 755 "$M/web"
	wait_for 10 on_all conflicts_of ''
}

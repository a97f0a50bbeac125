#!/usr/bin/env bats
# guard.bats -- the mass-removal guard: of many removals at once only the first
# few reach the platform; the rest stand in .held.

load lib

setup() {
	work_setup
	site_up nantes
}

# N resources named r1 ... on nantes, in force, made by one process.
many() { # N
	py '
for i in range(1, int(sys.argv[2]) + 1):
	os.mkdir("%s/r%d" % (m, i))
	os.mkdir("%s/r%d/nantes" % (m, i))
	put("r%d/spec" % i, "one %d\n" % i)
' "$1"
	wait_for 60 here "$1"
	wait_for 60 all_ready
}

all_ready() {
	! cat "$M"/r*/state | grep -qvx ready
}

here() { # N -- so many are on the platform
	[ "$(find "$R" -type f | wc -l)" = "$1" ]
}

held() { # N -- so many are held
	[ "$(find "$M/.held" -mindepth 1 | wc -l)" = "$1" ]
}

events() { # WORD N -- so many of these were told
	[ "$(jq -s --arg e "$1" 'map(select(.event == $e)) | length' \
		"$M/.events")" = "$2" ]
}

# What went and what is held stays so.
settled() { # HERE HELD
	wait_for 30 here "$1"
	wait_for 30 held "$2"
	holds_for 2 here "$1"
	held "$2"
}

one_held() { # -- the first name in .held
	find "$M/.held" -mindepth 1 -printf '%f\n' | sort | head -n 1
}

@test "guard: nothing is held to begin with" {
	[ -d "$M/.held" ]
	equal "$(ls "$M/.held")" ''
	rmdir "$M/.held"
	[ -d "$M/.held" ]
	errno_is 'EPERM|EACCES' 'put(".held/x", "x")'
	errno_is EPERM 'os.mkdir(m + "/.held/x")'
}

@test "guard: of 3 resources all go" {
	many 3
	rm -rf "${M:?}"/*
	wait_for 20 here 0
	held 0
}

@test "guard: of 4 resources 3 go, and 1 is held" {
	many 4
	rm -rf "${M:?}"/*
	equal "$(ls "$M")" ''
	settled 1 1
	events held 1
	events withdrawn 3
}

@test "guard: of 15 resources 3 go, and 12 are held" {
	many 15
	rm -rf "${M:?}"/*
	settled 12 12
	events held 12
}

@test "guard: of 500 resources 20 go, and 480 are held" {
	GRACE=2s
	site_down nantes
	rm "$W/nantes/cheops.yaml"
	site_up nantes
	many 500
	rm -rf "${M:?}"/*
	settled 480 480
	rm -f "$M/.held"/*
	held 0
	wait_for 60 here 0
}

@test "held: an entry says what was removed, why, by whom, and how many went" {
	local n

	many 4
	rm -rf "${M:?}"/*
	wait_for 20 held 1
	n=$(one_held)
	equal "$(field "$M/.held/$n" resource)" "$n"
	equal "$(field "$M/.held/$n" site)" nantes
	equal "$(field "$M/.held/$n" cause)" deleted
	equal "$(field "$M/.held/$n" by)" root
	equal "$(field "$M/.held/$n" at)" nantes
	equal "$(field "$M/.held/$n" gone)" 3
	[[ $(field "$M/.held/$n" since) == 20*Z ]]
	grep -qx 'nantes: held' "$M/.trash/$n"@*/status
	errno_is 'EACCES|EPERM' "open(m + '/.held/$n', 'w')"
}

@test "held: rm lets one go, rm -r the rest" {
	local n

	many 6
	rm -rf "${M:?}"/*
	settled 3 3
	n=$(one_held)
	rm "$M/.held/$n"
	[ ! -e "$M/.held/$n" ]
	wait_for 10 test ! -e "$R/$n"
	settled 2 2
	rm -r "$M/.held" </dev/null
	[ -d "$M/.held" ]
	held 0
	wait_for 10 here 0
	errno_is ENOENT "os.unlink(m + '/.held/$n')"
}

@test "held: mv back keeps: the resource is as it was, and was never touched" {
	local n inode

	many 6
	chmod 750 "$M"/r*
	rm -rf "${M:?}"/*
	settled 3 3
	n=$(one_held)
	inode=$(stat -c %i "$R/$n")
	mv "$M/.held/$n" "$M/$n"
	[ -d "$M/$n" ]
	holds "$M/$n/spec" "one ${n#r}"$'\n'
	[ -d "$M/$n/nantes" ]
	equal "$(stat -c %a "$M/$n")" 750
	equal "$(find "$M/.trash" -name "$n@*")" ''
	wait_for 10 state ready "$n"
	held 2
	(cd "$M" && mv .held/* .)
	held 0
	wait_for 10 all_ready
	equal "$(stat -c %i "$R/$n")" "$inode"
	equal "$(ls "$M" | wc -l)" 3
	here 3
	# It can be removed again, after all.
	rmdir "$M/$n/nantes"
	wait_for 10 test ! -e "$R/$n" -o -e "$M/.held/$n"
}

@test "held: mv under another name, or over what is there, is refused" {
	local n

	many 4
	rm -rf "${M:?}"/*
	wait_for 20 held 1
	n=$(one_held)
	errno_is EPERM "os.rename(m + '/.held/$n', m + '/other')"
	errno_is EPERM "os.rename(m + '/.held/$n', m + '/.trash/$n')"
	mkdir "$M/$n"
	errno_is 'EEXIST|EISDIR' "os.rename(m + '/.held/$n', m + '/$n')"
	refute mv "$M/.held/$n" "$M/$n"
	held 1
	# What was made in its place waits until that is settled.
	mkdir "$M/$n/nantes"
	echo two >"$M/$n/spec"
	wait_for 10 state held "$n"
	holds "$R/$n" "one ${n#r}"$'\n'
	rm "$M/.held/$n"
	wait_for 10 holds "$R/$n" $'two\n'
	wait_for 10 state ready "$n"
}

@test "held: is kept over a restart, and so is the minute" {
	many 8
	rm -rf "$M"/r[1-4]
	settled 5 1
	site_restart nantes
	settled 5 1
	site_kill9 nantes
	site_up nantes
	rm -rf "$M"/r[5-8]
	settled 5 5
	rm -f "$M/.held"/*
	wait_for 10 here 0
}

@test "held: what is undone in time was never held" {
	local n

	many 5
	rm -rf "${M:?}"/*
	for n in 1 2 3 4 5; do
		mv "$M/.trash/r$n"@* "$M/r$n"
	done
	wait_for 10 all_ready
	here 5
	held 0
	events held 0
}

@test "guard: one that is withdrawn and added again counts once" {
	many 8
	for _ in 1 2 3; do
		rmdir "$M/r1/nantes"
		wait_for 10 test ! -e "$R/r1"
		mkdir "$M/r1/nantes"
		wait_for 10 state ready r1
	done
	rmdir "$M/r2/nantes" "$M/r3/nantes"
	settled 6 0
}

@test "guard: withdrawing from a site counts, and mv goes into what lives on" {
	many 8
	rmdir "$M"/r[1-4]/nantes
	settled 5 1
	grep -qE 'nantes +held' "$M/$(one_held)/status"
	equal "$(field "$M/.held/$(one_held)" cause)" 'withdrawn from this site'
	# mv takes it into the directory that is there still.
	mv "$M/.held/$(one_held)" "$M/$(one_held)"
	held 0
	settled 5 0
	equal "$(cat "$M"/r*/state | sort | uniq -c | tr -s ' \n' ' ')" \
		' 3 idle 5 ready '
}

@test "guard: a site that has one at a time is never held up" {
	local i

	for i in 1 2 3 4 5 6; do
		many 1
		rm -rf "${M:?}/r1"
		wait_for 10 here 0
	done
	held 0
}

@test "guard: each site for itself, and all see it" {
	local b n

	site_down nantes
	rm -r "$W/nantes/cheops.yaml" "$W/nantes/store" # Its keys are others.
	three_up
	b=$(mnt paris)
	many 3
	py '
for i in range(1, 7):
	os.mkdir("%s/p%d" % (m, i))
	os.mkdir("%s/p%d/paris" % (m, i))
	put("p%d/spec" % i, "x\n")
'
	wait_for 20 sh -c "[ -z \"\$(grep -L ready '$M'/p*/state)\" ]"
	rm -rf "${M:?}"/*
	wait_for 20 here 0
	held 0
	wait_for 20 sh -c "[ \$(ls '$b/.held' | wc -l) = 3 ]"
	n=$(find "$b/.held" -mindepth 1 -printf '%f\n' | head -n 1)
	equal "$(field "$b/.held/$n" site)" paris
	equal "$(field "$b/.held/$n" at)" nantes
	wait_for 20 grep -qx 'paris: held' "$M/.trash/$n"@*/status
	[ -e "$W/paris/root/$n" ]
	# Kept on paris, it is back everywhere.
	mv "$b/.held/$n" "$b/$n"
	wait_for 20 test -d "$M/$n/paris"
	wait_for 20 state ready "$n"
	# Let go there, it goes.
	n=$(find "$b/.held" -mindepth 1 -printf '%f\n' | head -n 1)
	rm -r "$b/.held" </dev/null
	wait_for 20 test ! -e "$W/paris/root/$n"
	wait_for 20 grep -qx 'paris: removed' "$M/.trash/$n"@*/status
	[ ! -e "$M/$n" ]
}

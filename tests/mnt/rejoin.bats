#!/usr/bin/env bats
# rejoin.bats -- a site whose store is older than it was: restored from a
# backup, damaged, or gone. Nothing that was deleted comes back, nothing that
# was written is lost, and nothing old is put in force.
# limit: 240

load lib

one() { # a site on its own
	work_setup
	site_config nantes
	site_up nantes
}

three() {
	work_setup
	three_up
}

shared() { # NAME TEXT
	mkdir "$M/$1" "$M/$1/nantes" "$M/$1/paris" "$M/$1/lyon"
	echo "$2" >"$W/spec.$1"
	cp "$W/spec.$1" "$M/$1/spec"
	wait_for 15 in_force "$1" "$W/spec.$1" nantes paris lyon
	wait_for 10 ready_on "$1" nantes paris lyon
}

spec_on() { # SITE NAME TEXT
	holds "$(mnt "$1")/$2/spec" "$3"$'\n'
}

gone() { # SITE NAME
	[ ! -e "$(mnt "$1")/$2" ]
}

# All holders have forgotten it: nobody's outbox has anything left.
quiet() { # SITE...
	local s f

	for s; do
		for f in "$(mnt "$s")"/.sites/*/status; do
			[[ $f == */$s/status ]] || word <(field "$f" backlog) 0 ||
				return 1
		done
	done
}

event() { # SITE WORD
	grep -q "\"event\":\"$2\"" "$(mnt "$1")/.events"
}

backup() { # SITE
	site_down "$1"
	rm -rf "$W/$1/backup"
	cp -a "$W/$1/store" "$W/$1/backup"
	site_up "$1"
}

restore() { # SITE
	site_down "$1"
	rm -rf "$W/$1/store"
	cp -a "$W/$1/backup" "$W/$1/store"
	site_up "$1"
}

@test "rejoin: a restored backup brings nothing back" {
	three
	shared web one
	shared db one
	backup paris
	wait_for 20 ready_on db nantes paris lyon
	echo two >"$M/db/spec"
	wait_for 15 spec_on paris db two
	rm -r "$M/web"
	wait_for 20 gone paris web
	wait_for 20 gone lyon web
	wait_for 20 test ! -e "$W/paris/root/web"
	wait_for 20 quiet nantes lyon
	restore paris
	wait_for 20 event paris lost
	wait_for 30 gone paris web
	gone nantes web
	gone lyon web
	test ! -e "$W/paris/root/web"
	compgen -G "$(mnt paris)/.trash/web@*" >/dev/null
	# What is newer elsewhere is here again, and was never put back.
	wait_for 20 spec_on paris db two
	equal "$(cat "$W/paris/root/db")" two
	wait_for 20 ready_on db nantes paris lyon
	echo three >"$(mnt paris)/db/spec"
	wait_for 20 spec_on nantes db three
	wait_for 20 spec_on lyon db three
}

@test "rejoin: a lost store is filled again" {
	three
	shared web one
	site_down paris
	rm -rf "$W/paris/store"
	site_up paris
	wait_for 30 spec_on paris web one
	wait_for 20 ready_on web nantes paris lyon
	echo two >"$(mnt paris)/web/spec"
	wait_for 20 spec_on nantes web two
	wait_for 20 spec_on lyon web two
}

@test "rejoin: the database alone is gone, and the fence tells" {
	three
	shared web one
	site_down paris
	rm -rf "$W/paris/store/db"
	site_up paris
	wait_for 30 spec_on paris web one
	wait_for 20 event paris lost
	wait_for 20 ready_on web nantes paris lyon
}

# On one site: whatever can be read is there, what it was is kept.
@test "rejoin: a damaged log is read up to its damage" {
	local log

	one
	resource web one
	for i in $(seq 40); do
		echo "$i" >"$M/web/spec"
	done
	site_down nantes
	log=$(find "$W/nantes/store/db" -name '*.log' -size +0 | tail -n 1)
	printf 'XXXX' | dd of="$log" bs=1 conv=notrunc status=none \
		seek=$(($(stat -c %s "$log") / 2))
	site_up nantes
	wait_for 10 test -s "$M/web/spec"
	wait_for 10 event nantes lost
	[ -d "$W/nantes/store/db.damaged-1" ]
	wait_for 20 state ready
	echo on >"$M/web/spec"
	wait_for 10 holds "$W/nantes/root/web" $'on\n'
}

@test "rejoin: a site on its own stands by its backup" {
	one
	resource web one
	backup nantes
	echo two >"$M/web/spec"
	wait_for 10 holds "$W/nantes/root/web" $'two\n'
	restore nantes
	wait_for 10 holds "$M/web/spec" $'one\n'
	wait_for 20 holds "$W/nantes/root/web" $'one\n'
	wait_for 10 state ready
}

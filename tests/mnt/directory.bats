#!/usr/bin/env bats
# directory.bats -- the directory driver: a resource is the file ROOT/NAME.

load lib

setup() {
	work_setup
	site_up nantes
}

event() { # WORD [NAME]
	jq -es --arg e "$1" --arg n "${2:-web}" \
		'any(.[]; .event == $e and .resource == $n)' "$M/.events"
}

@test "directory: the file has the very bytes, binary too" {
	mkdir "$M/web" "$M/web/nantes"
	head -c 700000 /dev/urandom >"$W/b"
	cp "$W/b" "$M/web/spec"
	sync "$M/web/.wait"
	cmp "$R/web" "$W/b"
	equal "$(names "$R")" web
}

@test "directory: a new version takes the file's place at once" {
	local i

	resource
	bg "$PYTHON" -uc '
import sys
print("reading")
while True:
	b = open(sys.argv[1], "rb").read()
	assert b in (b"one\n", b"two\n" * 1000) or b == bytes([b[0]]) * 50000, b
' "$R/web"
	wait_for 5 grep -q reading "$W/bg.0"
	for i in {1..10}; do
		py 'put("web/spec", b"two\n" * 1000)'
		py 'put("web/spec", sys.argv[2][-1] * 50000)' "$i"
	done
	sync "$M/web/.wait"
	alive "${BG[0]}"
}

@test "directory: a foreign file is not taken over: failed, naming it" {
	echo theirs >"$R/web"
	mkdir "$M/web" "$M/web/nantes"
	echo ours >"$M/web/spec"
	wait_for 10 state failed
	grep -q 'web' <<<"$(field "$M/web/nantes/status" message)"
	holds "$R/web" $'theirs\n'
	equal "$(field "$M/web/nantes/status" healthy)" -
	wait_for 5 event failed
}

@test "directory: a foreign file that goes away lets the spec in" {
	echo theirs >"$R/web"
	mkdir "$M/web" "$M/web/nantes"
	echo ours >"$M/web/spec"
	wait_for 10 state failed
	rm "$R/web"
	# The next try comes by itself within half a minute.
	wait_for 45 state ready
	holds "$R/web" $'ours\n'
}

@test "directory: an equal foreign file is adopted" {
	echo same >"$R/web"
	mkdir "$M/web" "$M/web/nantes"
	echo same >"$M/web/spec"
	wait_for 10 state ready
	echo new >"$M/web/spec"
	wait_for 10 holds "$R/web" $'new\n'
}

@test "directory: deleting a resource that failed leaves the foreign file" {
	echo theirs >"$R/web"
	mkdir "$M/web" "$M/web/nantes"
	echo ours >"$M/web/spec"
	wait_for 10 state failed
	rm -rf "$M/web"
	wait_for 10 event deleted
	holds_for 3 holds "$R/web" $'theirs\n'
}

@test "directory: a directory or a link in its place is left alone" {
	mkdir "$R/web"
	ln -s /etc/passwd "$R/link"
	mkdir "$M/web" "$M/web/nantes" "$M/link" "$M/link/nantes"
	echo x >"$M/web/spec"
	echo x >"$M/link/spec"
	wait_for 10 state failed
	wait_for 10 state failed link
	[ -d "$R/web" ]
	equal "$(readlink "$R/link")" /etc/passwd
	refute grep -qx x /etc/passwd
}

@test "directory: drift is seen and mended" {
	resource
	echo changed >"$R/web"
	wait_for 10 holds "$R/web" $'one\n'
	wait_for 10 state ready
	wait_for 5 event drift
}

mode_is() { # FILE MODE
	equal "$(stat -c %a "$1")" "$2"
}

@test "directory: its mode is that of a private resource, or a public one" {
	resource
	mode_is "$R/web" 644
	chmod 600 "$R/web"
	wait_for 10 mode_is "$R/web" 644
	wait_for 5 event drift
	wait_for 10 state ready
	chmod 700 "$M/web"
	wait_for 10 mode_is "$R/web" 600
	wait_for 10 state ready
	chmod 755 "$M/web"
	wait_for 10 mode_is "$R/web" 644
	wait_for 10 state ready
	holds "$R/web" $'one\n'
}

tries() { # N -- so many at least
	[ "$(field "$M/web/nantes/status" tries)" -ge "$1" ]
}

@test "directory: beside a foreign file it tries again within seconds" {
	echo theirs >"$R/web"
	mkdir "$M/web" "$M/web/nantes"
	echo ours >"$M/web/spec"
	wait_for 10 state failed
	wait_for 8 tries 3
	holds "$R/web" $'theirs\n'
}

@test "directory: a file that was removed comes back" {
	resource
	rm "$R/web"
	wait_for 10 holds "$R/web" $'one\n'
	wait_for 10 state ready
}

@test "directory: drift while the agent was down is mended" {
	resource
	site_down nantes
	echo changed >"$R/web"
	site_up nantes
	wait_for 15 holds "$R/web" $'one\n'
	wait_for 10 state ready
}

@test "directory: a root that is gone is failed, and ready when it is back" {
	resource
	mv "$R" "$R.away"
	echo two >"$M/web/spec"
	wait_for 10 state failed
	[ -n "$(field "$M/web/nantes/status" message)" ]
	mv "$R.away" "$R"
	wait_for 20 state ready
	holds "$R/web" $'two\n'
}

@test "directory: a root that is gone removes nothing" {
	resource
	mv "$R" "$R.away"
	echo two >"$M/web/spec"
	wait_for 10 state failed
	rm -rf "$M/web"
	holds_for 2 holds "$R.away/web" $'one\n'
	mv "$R.away" "$R"
	wait_for 20 test ! -e "$R/web"
}

@test "directory: observed is JSON" {
	resource
	wait_for 5 jq -e . "$M/web/nantes/observed"
}

@test "directory: no temporary file stays, not even after kill -9" {
	local i

	resource
	for i in {1..5}; do
		head -c 3000000 /dev/urandom >"$M/web/spec"
	done
	site_kill9 nantes
	site_up nantes
	wait_for 15 state ready
	equal "$(names "$R")" web
	cmp "$R/web" "$M/web/spec"
}

@test "directory: removed and made anew, the new one wins" {
	resource
	rm -rf "$M/web"
	mkdir "$M/web" "$M/web/nantes"
	echo anew >"$M/web/spec"
	wait_for 15 holds "$R/web" $'anew\n'
	wait_for 10 state ready
	holds_for 3 holds "$R/web" $'anew\n'
}

@test "directory: names that look like paths stay inside the root" {
	mkdir "$M/..x" 2>/dev/null || true
	resource 'a\b'
	resource '~'
	equal "$(find "$W/nantes" -maxdepth 1 -newer "$W/spec.~" \
		! -name nantes ! -name store ! -name root)" ''
	[ -e "$R/~" ]
}

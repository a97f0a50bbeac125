#!/usr/bin/env bats
# remove.bats -- what is removed goes at once from the tree, after `grace`
# from the platform, and comes back from .trash.

load lib

setup() {
	work_setup
	GRACE=2s
	site_up nantes
}

event() { # WORD [NAME]
	jq -es --arg e "$1" --arg n "${2:-web}" \
		'any(.[]; .event == $e and .resource == $n)' "$M/.events"
}

trash() { # [NAME] -- its entry
	find "$M/.trash" -mindepth 1 -maxdepth 1 -name "${1:-web}@*"
}

gone() { # [NAME] -- from the platform
	[ ! -e "$R/${1:-web}" ]
}

# In force all the time, never taken away: the same inode.
untouched() { # SECONDS COMMAND...
	local seconds=$1 inode

	shift
	inode=$(stat -c %i "$R/web")
	"$@"
	holds_for "$seconds" test -e "$R/web"
	equal "$(stat -c %i "$R/web")" "$inode"
}

@test "remove: rm -r takes a resource away, whole" {
	resource
	rm -r "$M/web" </dev/null
	[ ! -e "$M/web" ]
	equal "$(ls "$M")" ''
	wait_for 10 gone
	wait_for 5 event deleted
}

@test "remove: rm -rf too" {
	resource
	rm -rf "$M/web"
	[ ! -e "$M/web" ]
	wait_for 10 gone
}

@test "remove: the platform waits for grace, and not much longer" {
	local t

	resource
	t=$(now_ms)
	rm -rf "$M/web"
	[ -e "$R/web" ]
	wait_for 10 gone
	t=$(($(now_ms) - t))
	echo "$t ms"
	[ $t -ge 1900 ]
}

@test "remove: an empty resource goes with rmdir" {
	mkdir "$M/web"
	rmdir "$M/web"
	[ ! -e "$M/web" ]
	errno_is ENOENT 'os.rmdir(m + "/web")'
}

@test "remove: rmdir while a site's directory stands is ENOTEMPTY" {
	resource
	errno_is ENOTEMPTY 'os.rmdir(m + "/web")'
	state ready
}

@test "remove: rmdir of a site withdraws there, and keeps the spec" {
	resource
	rmdir "$M/web/nantes"
	[ ! -e "$M/web/nantes" ]
	grep -w nantes "$M/web/status" | grep -qw removing
	wait_for 10 gone
	holds "$M/web/spec" $'one\n'
	wait_for 5 event withdrawn
	wait_for 10 sh -c "! grep -w nantes '$M/web/status' | grep -w removing"
	state idle
}

@test "remove: mkdir within grace undoes a site's withdrawal" {
	again() {
		rmdir "$M/web/nantes"
		mkdir "$M/web/nantes"
	}
	resource
	untouched 3 again
	state ready
}

@test "trash: mv back restores, and the platform never noticed" {
	back() {
		rm -rf "$M/web"
		mv "$(trash)" "$M/web"
	}
	resource
	untouched 3 back
	holds "$M/web/spec" $'one\n'
	word "$M/web/driver" directory
	[ -d "$M/web/nantes" ]
	state ready
	equal "$(trash)" ''
	wait_for 5 event restored
}

@test "trash: mv back after grace puts it in force again" {
	resource
	rm -rf "$M/web"
	wait_for 10 gone
	mv "$(trash)" "$M/web"
	wait_for 10 state ready
	holds "$R/web" $'one\n'
}

@test "trash: what never held anything leaves no entry" {
	mkdir "$M/web"
	rmdir "$M/web"
	equal "$(trash)" ''
	mkdir "$M/web"
	echo one >"$M/web/spec"
	rmdir "$M/web"
	[ -n "$(trash)" ]
}

@test "trash: an entry shows what was deleted" {
	resource
	rm -rf "$M/web"
	[[ $(trash) =~ /web@nantes-[0-9]+$ ]]
	holds "$(trash)/spec" $'one\n'
	grep -qx nantes "$(trash)/sites"
	grep -q nantes "$(trash)/status"
	word "$(trash)/driver" directory
}

@test "trash: is kept over a restart" {
	local e

	resource
	rm -rf "$M/web"
	e=$(trash)
	site_restart nantes
	equal "$(trash)" "$e"
	wait_for 10 gone
	holds "$e/spec" $'one\n'
	mv "$e" "$M/web"
	wait_for 10 state ready
}

@test "trash: two of a name stand side by side" {
	resource web one
	rm -rf "$M/web"
	resource web two
	rm -rf "$M/web"
	equal "$(trash | wc -l)" 2
	equal "$(cat "$M/.trash"/web@*/spec | sort | tr '\n' ' ')" 'one two '
}

@test "trash: mv onto a name that is taken is refused" {
	resource
	rm -rf "$M/web"
	mkdir "$M/web"
	errno_is 'EEXIST|ENOTEMPTY' \
		"os.rename('$(trash)', m + '/web')"
	[ -n "$(trash)" ]
}

back_as() { # NAME
	rm -rf "$M/web"
	mv -T "$(trash)" "$M/$1"
}

@test "trash: mv back under another name, and the platform never noticed" {
	resource
	untouched 3 back_as other
	[ ! -e "$M/web" ]
	equal "$(names "$M/.trash")" ''
	wait_for 10 state ready other
	[ ! -e "$R/other" ]
}

@test "trash: mv back under another name after grace makes it anew" {
	resource
	rm -rf "$M/web"
	wait_for 10 gone
	mv -T "$(trash)" "$M/other"
	wait_for 10 state ready other
	[ ! -e "$R/web" ]
	equal "$(cat "$R/other")" "$(cat "$M/other/spec")"
	equal "$(names "$M/.trash")" ''
}

@test "trash: rm -rf of an entry forgets it, here" {
	resource
	rm -rf "$M/web"
	wait_for 10 gone
	rm -rf "$(trash)"
	equal "$(ls "$M/.trash")" ''
}

@test "trash: a removal that goes on over a restart is finished" {
	resource
	rm -rf "$M/web"
	site_kill9 nantes
	[ -e "$R/web" ]
	site_up nantes
	wait_for 15 gone
}

@test "killed: rm -r killed at any point is undone by one mkdir or mv" {
	local k

	resource
	for k in 1 2 3 4 5 6 7 8 9 10 11 12; do
		strace -f -qq -o /dev/null -e trace=unlinkat \
			-e inject=unlinkat:signal=KILL:when=$k \
			rm -r "$M/web" </dev/null || true
		if [ ! -d "$M/web" ]; then
			mv "$(trash)" "$M/web"
		fi
		[ -d "$M/web/nantes" ] || mkdir "$M/web/nantes"
		# An unlink of spec hides it until it is restored.
		wait_for 8 holds "$M/web/spec" $'one\n'
		grep -qx nantes "$M/web/sites"
		[ -e "$R/web" ]
	done
	holds_for 3 test -e "$R/web"
	wait_for 5 state ready
}

@test "killed: half an rm -r withdraws no more than it removed" {
	site_down nantes
	rm "$W/nantes/cheops.yaml"
	bereft
	mkdir "$M/web" "$M/web/nantes"
	echo one >"$M/web/spec"
	wait_for 10 holds "$R/web" $'one\n'
	mkdir "$M/web/paris"
	# A process that ends after the first site.
	py 'os.rmdir(m + "/web/paris")'
	[ -d "$M/web/nantes" ]
	holds "$M/web/spec" $'one\n'
	holds_for 3 holds "$R/web" $'one\n'
}

@test "lineage: a new mkdir starts empty" {
	resource
	echo '{"a": 1}' >"$M/web/spec"
	echo '{"a": 2}' >"$M/web/nantes/patch"
	rm -rf "$M/web"
	wait_for 10 gone
	mkdir "$M/web"
	refute cat "$M/web/spec" 2>/dev/null || holds "$M/web/spec" ''
	[ ! -e "$M/web/nantes" ]
	refute grep -qx nantes "$M/web/sites"
	mkdir "$M/web/nantes"
	holds "$M/web/nantes/patch" ''
	state idle
}

@test "detach: removing spec withdraws nothing; it is back after 5 s" {
	local t

	resource
	t=$(now_ms)
	rm "$M/web/spec"
	[ ! -e "$M/web/spec" ]
	holds "$R/web" $'one\n'
	wait_for 10 holds "$M/web/spec" $'one\n'
	t=$(($(now_ms) - t))
	echo "$t ms"
	[ $t -ge 4500 ]
	[ $t -le 8000 ]
	holds "$R/web" $'one\n'
	state ready
}

@test "detach: the next spec ends it, and nothing is withdrawn" {
	resource
	rm "$M/web/spec"
	echo two >"$M/web/spec"
	holds "$M/web/spec" $'two\n'
	wait_for 10 holds "$R/web" $'two\n'
	holds_for 6 holds "$M/web/spec" $'two\n'
}

@test "detach: mv spec away leaves a copy, and spec comes back" {
	resource
	mv "$M/web/spec" "$M/web/old"
	holds "$M/web/old" $'one\n'
	wait_for 10 holds "$M/web/spec" $'one\n'
	state ready
}

@test "status: what is being removed is a row in .trash" {
	resource
	rm -rf "$M/web"
	grep -w nantes "$(trash)/status" | grep -qw removing
	wait_for 10 gone
	wait_for 10 sh -c "! grep -w nantes '$(trash)/status' | grep -w removing"
}

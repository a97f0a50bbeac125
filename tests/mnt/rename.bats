#!/usr/bin/env bats
# rename.bats -- mv web web2: another name for the same resource. No driver
# creates, changes or removes anything by it, on any site.

load lib

setup() {
	work_setup
	GRACE=2s
}

# Words of .events that a rename may not bring, from line N on.
acts() { # N [SITE]
	tail -n "+$(($1 + 1))" "$(mnt "${2:-nantes}")/.events" |
		jq -r 'select(.event | IN("applied", "withdrawn", "deleted",
			"failed", "version", "conflict", "drift")) | .event'
}

lines() { # [SITE]
	wc -l <"$(mnt "${1:-nantes}")/.events"
}

healthy() { # NAME [SITE [SEEN-BY]]
	field "$(mnt "${3:-${2:-nantes}}")/$1/${2:-nantes}/status" healthy
}

@test "rename: the file on the platform, its mtime and the version stay" {
	local file word n

	site_up nantes
	resource
	file=$(stat -c '%i %Y %Z' "$R/web")
	word=$(healthy web)
	n=$(lines)
	mv "$M/web" "$M/web2"
	[ ! -e "$M/web" ]
	equal "$(ls "$M")" web2
	wait_for 10 state ready web2
	equal "$(healthy web2)" "$word"
	equal "$(field "$M/web2/nantes/status" desired)" "$word"
	equal "$(field "$M/web2/nantes/status" object)" web
	holds_for 4 test -e "$R/web"
	equal "$(stat -c '%i %Y %Z' "$R/web")" "$file"
	equal "$(ls "$R")" web
	equal "$(acts "$n")" ''
	equal "$(names "$M/.trash")" ''
	# And as ever from then on, there.
	echo two >"$M/web2/spec"
	wait_for 10 grep -qx two "$R/web"
	rm -rf "$M/web2"
	wait_for 10 test ! -e "$R/web"
}

@test "rename: directory and files keep what they are, and open files follow" {
	local dir

	site_up nantes
	resource
	echo x >"$M/web/notes"
	chmod 750 "$M/web"
	dir=$(stat -c '%i %a %Y' "$M/web")
	py '
import stat
fd = os.open(m + "/web/spec", os.O_RDWR)
d = os.open(m + "/web", os.O_RDONLY)
os.rename(m + "/web", m + "/web2")
os.ftruncate(fd, 0)
os.write(fd, b"through the old name\n")
os.close(fd)
assert os.fstat(d).st_ino == os.stat(m + "/web2").st_ino
assert "spec" in os.listdir(d)
'
	equal "$(cat "$M/web2/spec")" 'through the old name'
	equal "$(names "$M/web2/conflicts")" ''
	equal "$(cat "$M/web2/notes")" x
	equal "$(stat -c '%i %a' "$M/web2")" "${dir% *}"
	equal "$(ls -i "$M" | awk '{print $1}')" "${dir%% *}"
	wait_for 10 grep -qx 'through the old name' "$R/web"
}

@test "rename: what is refused" {
	site_up nantes
	resource
	mkdir "$M/db" "$M/web/paris" 2>/dev/null || mkdir -p "$M/db"
	errno_is EEXIST 'os.rename(m + "/web", m + "/db")'
	errno_is EPERM 'os.rename(m + "/web", m + "/db/web")'
	errno_is EPERM 'os.rename(m + "/web/nantes", m + "/nantes")'
	errno_is EPERM 'os.rename(m + "/web", m + "/.web")'
	errno_is EINVAL 'os.rename(m + "/web", m + "/a\tb")'
	errno_is ENAMETOOLONG 'os.rename(m + "/web", m + "/" + 256 * "x")'
	errno_is 0 'os.rename(m + "/web", m + "/web")'
	# RENAME_NOREPLACE is what mv -n and mv -T ask; RENAME_EXCHANGE is 2.
	errno_is EINVAL '
	import ctypes
	c = ctypes.CDLL(None, use_errno=True)
	r = c.renameat2(-100, (m + "/web").encode(), -100,
			(m + "/db").encode(), 2)
	if r < 0: raise OSError(ctypes.get_errno(), "")'
	mv -n "$M/web" "$M/web2"
	[ -d "$M/web2" ]
}

@test "rename: there and back, and a restart in between" {
	local file

	site_up nantes
	resource
	file=$(stat -c '%i %Y %Z' "$R/web")
	mv "$M/web" "$M/web2"
	site_restart nantes
	wait_for 10 state ready web2
	mv "$M/web2" "$M/web"
	wait_for 10 state ready web
	equal "$(field "$M/web/nantes/status" object)" ''
	holds_for 3 test -e "$R/web"
	equal "$(stat -c '%i %Y %Z' "$R/web")" "$file"
	equal "$(ls "$M")" web
}

@test "rename: a new resource of the old name does not take its file" {
	site_up nantes
	resource
	mv "$M/web" "$M/web2"
	wait_for 10 state ready web2
	# The same bytes, too: two that share a file would remove it twice.
	mkdir "$M/web" "$M/web/nantes"
	cp "$M/web2/spec" "$M/web/spec"
	wait_for 10 state failed web
	grep -q "^message: .*'web2'" "$M/web/nantes/status"
	rm -rf "$M/web"
	holds_for 4 test -e "$R/web"
	wait_for 10 state ready web2
	mkdir "$M/web" "$M/web/nantes"
	echo new >"$M/web/spec"
	wait_for 10 state failed web
	rm -rf "$M/web2"
	wait_for 15 state ready web
	equal "$(cat "$R/web")" new
}

renamed_on() { # SITE
	[ -d "$(mnt "$1")/web2" ] && [ ! -e "$(mnt "$1")/web" ]
}

spec_on() { # TEXT SITE...
	local s text=$1

	shift
	for s; do
		holds "$(mnt "$s")/web2/spec" "$text"$'\n' || return 1
	done
}

# A resource on all three, in force.
shared() {
	mkdir "$M/web" "$M/web/nantes" "$M/web/paris" "$M/web/lyon"
	echo one >"$W/spec"
	cp "$W/spec" "$M/web/spec"
	wait_for 15 in_force web "$W/spec" nantes paris lyon
	wait_for 10 ready_on web nantes paris lyon
}

@test "rename: on all three sites, and nothing happens on their platforms" {
	local s word

	three_up
	shared
	word=$(healthy web)
	for s in nantes paris lyon; do
		stat -c '%i %Y %Z' "$W/$s/root/web" >"$W/$s.file"
		lines "$s" >"$W/$s.lines"
	done
	# The others know both names, one that is there and one that is not.
	ls "$(mnt paris)/web" >/dev/null
	refute ls "$(mnt paris)/web2"
	mv "$M/web" "$M/web2"
	for s in nantes paris lyon; do
		wait_for 15 renamed_on "$s"
		wait_for 15 ready_on web2 "$s"
		equal "$(healthy web2 "$s")" "$word"
	done
	for s in nantes paris lyon; do
		equal "$(stat -c '%i %Y %Z' "$W/$s/root/web")" \
			"$(cat "$W/$s.file")"
		equal "$(ls "$W/$s/root")" web
		equal "$(acts "$(cat "$W/$s.lines")" "$s")" ''
		wait_for 10 state ready web2 "$s"
	done
}

@test "rename: a write from the other side of a cut is in it, everywhere" {
	local s

	three_up
	shared
	for s in nantes lyon; do
		stat -c '%i %Y' "$W/$s/root/web" >"$W/$s.file"
	done
	link_cut paris
	mv "$M/web" "$M/web2"
	wait_for 15 renamed_on lyon
	echo two >"$(mnt paris)/web/spec"
	echo two >"$W/spec"
	wait_for 15 in_force web "$W/spec" paris
	for s in nantes lyon; do
		equal "$(stat -c '%i %Y' "$W/$s/root/web")" \
			"$(cat "$W/$s.file")"
	done
	link_heal paris
	for s in nantes paris lyon; do
		wait_for 40 spec_on two "$s"
		wait_for 15 renamed_on "$s"
		wait_for 15 ready_on web2 "$s"
		equal "$(names "$(mnt "$s")/web2/conflicts")" ''
		equal "$(ls "$W/$s/root")" web
	done
	in_force web "$W/spec" nantes paris lyon
	for s in nantes paris lyon; do
		refute grep -q '"event":"withdrawn"' "$(mnt "$s")/.events"
	done
}

@test "rename: a file that is open on another site is written where it went" {
	three_up
	shared
	# Opened there; renamed here; written there.
	py '
import time
paris = sys.argv[2]
fd = os.open(paris + "/web/spec", os.O_WRONLY | os.O_TRUNC)
os.rename(m + "/web", m + "/web2")
end = time.monotonic() + 20
while os.path.exists(paris + "/web") and time.monotonic() < end:
	time.sleep(0.05)
os.write(fd, b"late\n")
os.close(fd)
' "$(mnt paris)"
	wait_for 15 spec_on late nantes paris lyon
	equal "$(names "$M/web2/conflicts")" ''
}

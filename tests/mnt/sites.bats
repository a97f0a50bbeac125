#!/usr/bin/env bats
# sites.bats -- where a resource lives, and the words for how it is doing.
# paris is a site that is known, and has just died.

load lib

setup() {
	work_setup
	bereft
	mkdir "$M/web"
}

lives_on() { # SITE...
	equal "$(cd "$M/web" && find . -mindepth 1 -maxdepth 1 -type d \
		! -name conflicts -printf '%f\n' | sort | tr '\n' ' ')" \
		"$([ $# = 0 ] || printf '%s\n' "$@" | sort | tr '\n' ' ')"
}

row() { # SITE -- its row in web/status
	grep -w "^ *$1" "$M/web/status"
}

@test "sites: mkdir adds a line, rmdir takes it away" {
	mkdir "$M/web/nantes"
	grep -qx nantes "$M/web/sites"
	lives_on nantes
	rmdir "$M/web/nantes"
	refute grep -qx nantes "$M/web/sites"
	lives_on
}

@test "sites: lines written are directories" {
	printf 'nantes\nparis\n' >"$M/web/sites"
	lives_on nantes paris
	grep -qx paris "$M/web/sites"
}

@test "sites: lines that the writer saw and left out are removed" {
	printf 'nantes\nparis\n' >"$M/web/sites"
	grep -vx nantes "$M/web/sites" >"$W/sites"
	cp "$W/sites" "$M/web/sites"
	lives_on paris
	sed -i s/paris/nantes/ "$M/web/sites"
	lives_on nantes
}

@test "sites: >> only adds" {
	echo nantes >>"$M/web/sites"
	echo paris >>"$M/web/sites"
	lives_on nantes paris
}

@test "sites: a second commit of one open file takes away its own alone" {
	py '
fd = os.open(m + "/web/sites", os.O_RDWR)
os.pwrite(fd, b"nantes\n", 0)
os.fsync(fd)
os.mkdir(m + "/web/paris")
os.ftruncate(fd, 0)
os.pwrite(fd, b"+nantes\n", 0)
os.close(fd)'
	lives_on paris
}

@test "sites: what was added after the writer's open stays" {
	py '
put("web/sites", "nantes\n")
fd = os.open(m + "/web/sites", os.O_RDWR)
os.mkdir(m + "/web/paris")
os.ftruncate(fd, 0)
os.write(fd, b"nantes\n")
os.close(fd)'
	lives_on nantes paris
}

@test "sites: a witness is never dropped by leaving it out" {
	grep -qx '+nantes' "$M/web/sites"
	echo paris >"$M/web/sites"
	grep -qx '+nantes' "$M/web/sites"
	lives_on paris
}

@test "sites: !+NAME drops a witness" {
	printf 'nantes\nparis\n' >"$M/web/sites"
	echo '!+nantes' >>"$M/web/sites"
	refute grep -qx '+nantes' "$M/web/sites"
	lives_on nantes paris
}

@test "sites: a pattern is EINVAL, and nothing changes" {
	local p

	echo nantes >"$M/web/sites"
	for p in '*' 'region=west' 'par*'; do
		errno_is EINVAL "put('web/sites', 'nantes\n$p\n')"
		lives_on nantes
	done
}

@test "sites: a site that no one knows is refused, and nothing changes" {
	echo nantes >"$M/web/sites"
	errno_is 'ENXIO|EINVAL' 'put("web/sites", "nantes\noslo\n")'
	grep -q oslo "$M/web/error"
	lives_on nantes
	refute sh -c "set -e; echo oslo >'$M/web/sites'" 2>/dev/null
	lives_on nantes
}

@test "sites: empty is ignored" {
	echo nantes >"$M/web/sites"
	: >"$M/web/sites"
	cp /dev/null "$M/web/sites"
	lives_on nantes
}

@test "sites: rmdir of a site where it does not live is ENOENT" {
	errno_is ENOENT 'os.rmdir(m + "/web/paris")'
}

@test "known: a site's address may be written, and is kept" {
	equal "$(cat "$M/.sites/paris/address")" "${ADDR[paris]}"
	echo 127.0.0.1:2 >"$M/.sites/paris/address"
	equal "$(cat "$M/.sites/paris/address")" 127.0.0.1:2
	errno_is EINVAL 'put(".sites/paris/address", "nonsense\n")'
	equal "$(field "$M/.sites/paris/status" address)" 127.0.0.1:2
}

@test "known: labels may be written on the site itself; \\n clears them" {
	echo region=west >"$M/.sites/nantes/labels"
	holds "$M/.sites/nantes/labels" $'region=west\n'
	echo >"$M/.sites/nantes/labels"
	holds "$M/.sites/nantes/labels" ''
	errno_is 'EACCES|EPERM' 'put(".sites/paris/labels", "a=b\n")'
}

@test "state: idle without spec, without sites, with driver none" {
	state idle
	mkdir "$M/web/nantes"
	state idle
	rmdir "$M/web/nantes"
	echo one >"$M/web/spec"
	state idle
	mkdir "$M/web/nantes"
	wait_for 10 state ready
	echo none >"$M/web/driver"
	wait_for 10 state idle
}

@test "state: driver none leaves what is there" {
	mkdir "$M/web/nantes"
	echo one >"$M/web/spec"
	wait_for 10 state ready
	echo none >"$M/web/driver"
	wait_for 10 state idle
	holds_for 2 holds "$R/web" $'one\n'
}

@test "state: ready means that all three versions are the same" {
	local s=$M/web/nantes/status v

	mkdir "$M/web/nantes"
	echo one >"$M/web/spec"
	wait_for 10 state ready
	v=$(field "$s" desired)
	[[ $v =~ ^[0-9a-f]{16}$ ]]
	equal "$(field "$s" applied) $(field "$s" healthy)" "$v $v"
}

@test "state: a site's status has all its keys, one word each line" {
	local k

	mkdir "$M/web/nantes"
	for k in state heartbeat last-heard desired applied healthy tries \
		next-try last-state message; do
		grep -q "^$k:" "$M/web/nantes/status"
	done
	equal "$(field "$M/web/nantes/status" desired)" -
}

@test "state: web/status has a header, and a row for each site" {
	printf 'nantes\nparis\n' >"$M/web/sites"
	echo one >"$M/web/spec"
	wait_for 10 grep -qw ready <(row nantes) || row nantes
	equal "$(wc -l <"$M/web/status")" 3
	head -n 1 "$M/web/status" | grep -qi state
	head -n 1 "$M/web/status" | grep -qi heartbeat
	row nantes | grep -qw alive
}

@test "state: a site that never answers is unreachable, and it works" {
	mkdir "$M/web/paris"
	echo one >"$M/web/spec"
	wait_for 15 word "$M/web/paris/state" unreachable
	word "$M/web/state" unreachable
	equal "$(field "$M/web/paris/status" state)" unreachable
	row paris | grep -qw unreachable
}

@test "state: the worst of its sites' states is the resource's" {
	printf 'nantes\nparis\n' >"$M/web/sites"
	echo one >"$M/web/spec"
	wait_for 15 word "$M/web/paris/state" unreachable
	wait_for 10 word "$M/web/nantes/state" ready
	word "$M/web/state" unreachable
}

@test "state: a driver that a site lacks is failed there, and says so" {
	umount -l "$(mnt paris)"
	site_config paris 'drivers: {default: none}'
	site_up paris
	wait_for 15 heartbeat paris alive
	printf 'nantes\nparis\n' >"$M/web/sites"
	echo one >"$M/web/spec"
	wait_for 10 word "$M/web/paris/state" failed
	grep -q 'no driver directory here' "$M/web/paris/status"
	wait_for 10 word "$M/web/nantes/state" ready
	wait_for 5 state failed
}

@test "state: another spec goes through pending or applying to ready" {
	mkdir "$M/web/nantes"
	echo one >"$M/web/spec"
	wait_for 10 state ready
	mv "$R" "$R.away"
	echo two >"$M/web/spec"
	wait_for 10 refute state ready
	mv "$R.away" "$R"
	wait_for 15 state ready
	holds "$R/web" $'two\n'
}

@test "force: a new resource waits until its maker has closed everything" {
	# Made by one process, which writes two specs: only the last may reach
	# the driver.
	bg inotifywait -m -e moved_to --format '%f' "$R"
	wait_for 5 grep -q established "$W/bg.0"
	py '
os.mkdir(m + "/app")
os.mkdir(m + "/app/nantes")
put("app/spec", "draft\n")
put("app/spec", "final\n")'
	wait_for 10 state ready app
	holds "$R/app" $'final\n'
	equal "$(grep -cx app "$W/bg.0")" 1
}

#!/usr/bin/env bats
# wait.bats -- sync web/.wait returns once it is done, or says why not.

load lib

setup() {
	work_setup
	# paris is dead after 13 beats, well over sync_timeout.
	BEAT=500ms
	bereft -o sync_timeout=2s
	mkdir "$M/web" "$M/web/nantes"
}

sync_errno() { # PATH
	errno_of "os.fsync(os.open(m + '/$1', os.O_RDONLY))"
}

@test "wait: returns once the version is in force everywhere" {
	local i

	for i in {1..20}; do
		echo "$i" >"$M/web/spec"
		sync "$M/web/.wait"
		holds "$R/web" "$i"$'\n'
		state ready
	done
}

@test "wait: of one site" {
	echo one >"$M/web/spec"
	sync "$M/web/nantes/.wait"
	holds "$R/web" $'one\n'
}

@test "wait: no listing shows it" {
	ls -a "$M/web" "$M/web/nantes" >"$W/ls"
	refute grep wait "$W/ls"
}

@test "wait: nothing to do is done at once" {
	sync "$M/web/.wait"
	equal "$(sync_errno web/nantes/.wait)" 0
}

@test "wait: a driver that refuses is EIO" {
	echo theirs >"$R/web"
	echo ours >"$M/web/spec"
	equal "$(sync_errno web/.wait)" EIO
	refute sync "$M/web/.wait" 2>/dev/null
}

@test "wait: what was in the way and is gone is no reason any more" {
	local i

	for i in 1 2 3 4 5; do
		mkdir "$R/r$i" "$M/r$i" "$M/r$i/nantes"
		echo one >"$M/r$i/spec"
		equal "$(sync_errno "r$i/.wait")" EIO
		grep -q ' \.wait: nantes: .* is a directory' "$M/r$i/error"
		rmdir "$R/r$i"
		echo two >"$M/r$i/spec"
		equal "$(sync_errno "r$i/.wait")" 0
		holds "$R/r$i" $'two\n'
	done
	# The same version, too.
	echo one >"$R/other"
	mkdir "$M/other" "$M/other/nantes"
	echo two >"$M/other/spec"
	equal "$(sync_errno other/.wait)" EIO
	rm "$R/other"
	equal "$(sync_errno other/.wait)" 0
}

@test "wait: concurrent versions are EIO, until one is chosen" {
	echo one >"$M/web/spec"
	sync "$M/web/.wait"
	py '
fds = [os.open(m + "/web/spec", os.O_WRONLY | os.O_TRUNC) for i in (1, 2)]
for fd in fds:
	os.write(fd, b"by %d\n" % fd)
	os.close(fd)'
	state conflict
	equal "$(sync_errno web/.wait)" EIO
	grep -q ' \.wait: 2 concurrent versions: see conflicts/' "$M/web/error"
	equal "$(sync_errno web/nantes/.wait)" EIO
	grep -q ' nantes/\.wait: 2 concurrent versions' "$M/web/error"
	echo three >"$M/web/spec"
	equal "$(sync_errno web/.wait)" 0
}

@test "wait: a dead site is EHOSTUNREACH" {
	mkdir "$M/web/paris"
	echo one >"$M/web/spec"
	wait_for 20 heartbeat paris dead
	equal "$(sync_errno web/.wait)" EHOSTUNREACH
	equal "$(sync_errno web/paris/.wait)" EHOSTUNREACH
	equal "$(sync_errno web/nantes/.wait)" 0
}

@test "wait: the time over is ETIMEDOUT" {
	mkdir "$M/web/paris"
	echo one >"$M/web/spec"
	equal "$(sync_errno web/.wait)" ETIMEDOUT
}

waiting() { # a site that is not dead yet, and a sync that waits for it
	site_down nantes
	sed -i 's/^heartbeat: .*/heartbeat: 2s/' "$W"/*/cheops.yaml
	site_up nantes
	site_up paris
	wait_for 30 all_alive
	site_kill9 paris
	mkdir "$M/web/paris"
	echo one >"$M/web/spec"
	bg sync "$M/web/.wait"
	wait_for 5 in_fuse "${BG[-1]}"
}

@test "wait: a signal ends it at once" {
	local t

	waiting
	t=$(now_ms)
	kill -INT "${BG[-1]}" || true
	kill -TERM "${BG[-1]}"
	wait_for 2 ended "${BG[-1]}"
	[ $(($(now_ms) - t)) -lt 2000 ]
}

@test "wait: nothing else waits meanwhile" {
	waiting
	timeout 2 ls -lR "$M" >/dev/null
	timeout 2 cat "$M/web/status" >/dev/null
	timeout 2 cp "$M/.version" "$M/web/spec"
	alive "${BG[-1]}"
}

@test "wait: umount and SIGTERM do not wait for it" {
	local pid

	waiting
	pid=$(agent_pid nantes)
	kill -TERM "$pid"
	rm "$W/nantes/up"
	wait_for 10 ended "$pid"
	wait_for 2 ended "${BG[-1]}"
}

@test "fsync: of a file returns when it is durable here" {
	echo one >"$M/web/spec"
	sync "$M/web/spec"
	site_kill9 nantes
	site_up nantes
	holds "$M/web/spec" $'one\n'
}

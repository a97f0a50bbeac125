#!/usr/bin/env bats
# crash.bats -- a close() that returned 0 is there after whatever crashed; an
# ailing store makes the agent refuse, not lie, hang or exit.

load lib

writers_prepare() {
	local i

	for i in {1..8}; do
		[ -d "$M/w$i" ] || mkdir "$M/w$i" "$M/w$i/nantes"
	done
}

# Eight writers, each with a resource of its own, write growing numbers until
# a write fails, and note each number that close() took.
writers() {
	local i

	writers_prepare
	for i in {1..8}; do
		bg "$PYTHON" -uc '
import os, sys
path, n = sys.argv[1], int(sys.argv[2])
try:
	while True:
		fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
		n += 1
		os.write(fd, b"%d\n" % n * 50)
		os.close(fd)
		print(n)
except OSError as e:
	print("end", e, file=sys.stderr)
' "$M/w$i/spec" "$1"
	done
}

acked() { # INDEX -- the last number that writer INDEX of this round noted
	grep -Ex '[0-9]+' "$W/bg.$1" | tail -n 1
}

# After a restart: each spec is whole, and at least what was acknowledged.
nothing_lost() { # FIRST-INDEX
	local i n got

	for i in {1..8}; do
		n=$(acked $(($1 + i - 1)))
		got=$(uniq "$M/w$i/spec")
		echo "w$i: acknowledged $n, there $(tr '\n' ' ' <<<"$got")"
		[[ $got =~ ^[0-9]+$ ]]
		equal "$(wc -l <"$M/w$i/spec")" 50
		[ "$got" -ge "$n" ]
		[ "$got" -le $((n + 1)) ]
	done
}

@test "crash: kill -9 under writers loses no close() that returned 0" {
	local round first=0

	site_up nantes
	for round in 1 2 3; do
		writers $((round * 100000))
		wait_for 20 sh -c "[ \$(cat '$W'/bg.* | wc -l) -gt $((
			round * 400)) ]"
		site_kill9 nantes
		for i in {1..8}; do
			wait_for 5 ended "${BG[first + i - 1]}"
		done
		site_up nantes
		nothing_lost $first
		first=$((first + 8))
	done
}

@test "crash: after kill -9 everything becomes ready again" {
	local i

	site_up nantes
	writers 0
	wait_for 20 sh -c "[ \$(cat '$W'/bg.* | wc -l) -gt 300 ]"
	site_kill9 nantes
	site_up nantes
	for i in {1..8}; do
		wait_for 20 state ready "w$i"
		cmp "$R/w$i" "$M/w$i/spec"
	done
}

@test "crash: mkdir, sites, modes and removals survive kill -9" {
	site_up nantes
	resource keep
	chmod 600 "$M/keep/spec"
	resource drop
	rm -rf "$M/drop"
	mkdir "$M/empty"
	site_kill9 nantes
	site_up nantes
	equal "$(ls "$M" | tr '\n' ' ')" 'empty keep '
	equal "$(stat -c %a "$M/keep/spec")" 600
	[ -d "$M/keep/nantes" ]
	wait_for 15 test ! -e "$R/drop"
	[ -e "$R/keep" ]
}

@test "crash: a killed agent's epoch is never used again" {
	local epochs='' i

	site_up nantes
	for i in 1 2 3; do
		epochs+="$(field "$M/.sites/nantes/status" epoch)"$'\n'
		site_kill9 nantes
		site_up nantes
	done
	echo "$epochs"
	equal "$(sort -u <<<"$epochs" | grep -c .)" 3
}

@test "stop: a writer waits while the agent is stopped, and then succeeds" {
	local pid

	site_up nantes
	resource
	pid=$(agent_pid nantes)
	kill -STOP "$pid"
	bg sh -c "echo two >'$M/web/spec' && echo done"
	wait_for 5 in_fuse "$(pgrep -n -f "echo two >'$M" || echo "${BG[0]}")"
	alive "${BG[0]}"
	kill -CONT "$pid"
	wait_for 10 grep -q 'done' "$W/bg.0"
	holds "$M/web/spec" $'two\n'
}

# Make the agent's system calls fail while the command runs.
failing() { # CALLS ERRNO COMMAND...
	local calls=$1 err=$2 tracer

	shift 2
	strace -f -qq -o "$W/strace" -e trace="$calls" \
		-e inject="$calls:error=$err" -p "$(agent_pid nantes)" \
		2>"$W/strace.err" 3>&- 4>&- &
	tracer=$!
	BG+=("$tracer")
	wait_for 5 grep -qE '^TracerPid:[[:space:]]+[1-9]' \
		"/proc/$(agent_pid nantes)/status"
	"$@"
	kill -INT $tracer
	wait $tracer || true
}

# While syncs fail: nothing is promised, all can be read.
ailing() {
	errno_is 'EIO|EAGAIN' 'put("web/spec", "lost\n")'
	timeout 5 ls -lR "$M" >/dev/null
	timeout 5 cat "$M/web/status" >/dev/null
	errno_is 'EIO|EAGAIN' 'put("web/spec", "lost too\n")'
	grep -q . "$M/web/error"
}

@test "disk: a failing fdatasync is EIO, never a success; it heals by itself" {
	local pid

	site_up nantes
	resource
	pid=$(agent_pid nantes)
	failing fdatasync,fsync,sync_file_range,msync EIO ailing
	wait_for 20 py 'put("web/spec", "healed\n")'
	equal "$(agent_pid nantes)" "$pid"
	wait_for 10 state ready
	holds "$R/web" $'healed\n'
	site_kill9 nantes
	site_up nantes
	holds "$M/web/spec" $'healed\n'
}

@test "disk: under writers, a failing fdatasync loses nothing acknowledged" {
	site_up nantes
	bite() {
		writers 0
		wait_for 20 all_ended
	}
	all_ended() {
		local p

		for p in "${BG[@]:1}"; do
			ended "$p" || return 1
		done
	}
	writers_prepare
	failing fdatasync,fsync EIO bite
	wait_for 20 py 'put("w1/probe", "x"); os.unlink(m + "/w1/probe")'
	site_kill9 nantes
	site_up nantes
	for i in {1..8}; do
		n=$(acked "$i")
		got=$(uniq "$M/w$i/spec" 2>/dev/null)
		[ "${got:-0}" -ge "${n:-0}" ]
	done
}

# The store on a small filesystem of its own.
small_store() { # MIB
	truncate -s "$1M" "$W/disk"
	mkfs.ext4 -q -O ^has_journal -m 0 "$W/disk"
	site_config nantes
	mkdir "$W/nantes/small"
	mount -o loop "$W/disk" "$W/nantes/small"
	site_config nantes 'store: small/store'
	ln -s small/store "$W/nantes/store"
}
small_gone() { # before teardown looks for the store's lock
	site_down nantes
	umount "$W/nantes/small"
}

@test "disk: a full one is ENOSPC at open, readable, and heals by itself" {
	local pid i got=0

	small_store 128
	site_up nantes
	resource
	pid=$(agent_pid nantes)
	dd if=/dev/zero of="$W/nantes/small/fill" bs=64K status=none \
		2>/dev/null || true
	# What the agent keeps in reserve may take some more.
	for i in {1..400}; do
		got=$(errno_of "put('web/spec', b'$i' + os.urandom(200000))")
		[ "$got" = 0 ] || break
		sync "$W/nantes/small/fill"
	done
	echo "$got after $i"
	[[ $got =~ ^(ENOSPC|EAGAIN|EIO)$ ]]
	wait_for 10 errno_is ENOSPC \
		'os.open(m + "/web/spec", os.O_WRONLY | os.O_TRUNC)'
	cp "$M/web/spec" "$W/before"
	timeout 10 ls -lR "$M" >/dev/null
	refute sh -c "set -e; echo x >'$M/web/spec'" 2>/dev/null
	cmp "$M/web/spec" "$W/before"
	rm "$W/nantes/small/fill"
	wait_for 30 py 'put("web/spec", "space\n")'
	equal "$(agent_pid nantes)" "$pid"
	wait_for 15 state ready
	holds "$R/web" $'space\n'
	small_gone
}

@test "disk: kill -9 while it is full: started again, it reads and heals" {
	local i n=0

	small_store 128
	site_up nantes
	resource
	dd if=/dev/zero of="$W/nantes/small/fill" bs=64K status=none \
		2>/dev/null || true
	for i in {1..400}; do
		py "put('web/spec', b'%d\n' % $i * 40000)" 2>/dev/null || break
		n=$i
	done
	site_kill9 nantes
	site_up nantes
	if [ "$n" -gt 0 ]; then
		equal "$(uniq "$M/web/spec")" "$n"
	else
		holds "$M/web/spec" $'one\n'
	fi
	rm "$W/nantes/small/fill"
	wait_for 30 py 'put("web/spec", "space\n")'
	small_gone
}

@test "disk: a store that cannot be written starts ailing, and says so" {
	site_up nantes
	resource
	site_down nantes
	mkdir "$W/nantes/away"
	mv "$W/nantes/store/db" "$W/nantes/away/db"
	echo 'no folder' >"$W/nantes/store/db"
	site_up nantes
	timeout 5 stat "$M" >/dev/null
	cat "$M/.version"
	grep -q 'Not a directory' "$M/.events"
	# What cannot be read is no empty listing.
	errno_is EIO 'os.listdir(m)'
	errno_is 'EAGAIN|EIO|EROFS|ENOSPC' 'os.mkdir(m + "/new")'
	rm "$W/nantes/store/db"
	mv "$W/nantes/away/db" "$W/nantes/store/db"
	wait_for 20 holds "$M/web/spec" $'one\n'
	wait_for 20 mkdir "$M/new"
}

@test "disk: damage is not taken for an empty store" {
	site_up nantes
	resource
	site_down nantes
	echo garbage >"$W/nantes/store/db/CURRENT"
	# What can be read is read, and what it was is kept.
	site_up nantes
	wait_for 10 holds "$M/web/spec" $'one\n'
	grep -q '"event":"lost"' "$M/.events"
	equal "$(cat "$W/nantes/store/db.damaged-1/CURRENT")" garbage
	mkdir "$M/new"
	wait_for 20 state ready
}

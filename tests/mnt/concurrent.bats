#!/usr/bin/env bats
# concurrent.bats -- many writers, many readers, two sites, and the kernel's
# caches.

load lib

@test "concurrent: 100 writers, each its own resource" {
	site_up nantes
	py '
import threading
bad = []
def one(i):
	try:
		os.mkdir("%s/r%d" % (m, i))
		os.mkdir("%s/r%d/nantes" % (m, i))
		for k in range(5):
			put("r%d/spec" % i, "%d %d\n" % (i, k))
	except OSError as e:
		bad.append((i, e))
t = [threading.Thread(target=one, args=(i,)) for i in range(100)]
[x.start() for x in t]
[x.join() for x in t]
assert not bad, bad
for i in range(100):
	assert open("%s/r%d/spec" % (m, i)).read() == "%d 4\n" % i, i'
	ready() {
		[ "$(cat "$M"/r*/state | sort | uniq -c | tr -s ' ')" = \
			' 100 ready' ]
	}
	wait_for 20 ready
	equal "$(cat "$R"/r* | sort | uniq | wc -l)" 100
}

@test "concurrent: 100 processes write one spec; each version is whole" {
	local f i pids=()

	site_up nantes
	resource
	for i in {1..100}; do
		sh -c "yes $i | head -n 2000 >'$M/web/spec'" 3>&- 4>&- &
		pids+=($!)
	done
	for i in "${pids[@]}"; do
		wait "$i"
	done
	# Those that had not seen each other stand beside each other.
	for f in "$M/web/spec" "$M"/web/conflicts/*; do
		[[ $f != *.base && -e $f ]] || continue
		equal "$(wc -l <"$f") $(uniq "$f" | wc -l)" '2000 1'
	done
	echo settled >"$M/web/spec"
	wait_for 15 state ready
	holds "$R/web" $'settled\n'
	equal "$(ls "$M/web/conflicts")" ''
}

@test "concurrent: who opened before another closed loses nothing" {
	site_up nantes
	resource
	py '
fds = [os.open(m + "/web/spec", os.O_WRONLY | os.O_TRUNC) for i in range(5)]
for i, fd in enumerate(fds):
	os.write(fd, b"writer %d\n" % i)
for fd in fds:
	os.close(fd)'
	all_there() {
		[ "$(cat "$M/web/spec" "$M"/web/conflicts/*[0-9a-f] |
			grep -c '^writer')" = 5 ]
	}
	wait_for 5 all_there
	state conflict
	echo settled >"$M/web/spec"
	wait_for 15 state ready
}

@test "concurrent: readers see no mixture while content changes" {
	site_up nantes
	mkdir "$M/web" "$M/web/nantes"
	echo 0 >"$M/web/spec"
	timeout 60 "$PYTHON" -c '
import os, sys, threading, time
m = sys.argv[1]
stop, bad, seen = [False], [], [0]
sizes = [100, 20000, 7, 4096, 150000, 131072, 1]
def write():
	i = 0
	while not stop[0]:
		i += 1
		b = b"%c" % (65 + i % 26) * sizes[i % len(sizes)]
		fd = os.open(m + "/web/spec",
			os.O_WRONLY | os.O_TRUNC)
		os.write(fd, b)
		os.close(fd)
def read(path):
	while not stop[0]:
		with open(path, "rb", buffering=0) as f:
			b = b""
			while True:
				c = f.read(30000)
				if not c:
					break
				b += c
		seen[0] += 1
		if path.endswith("spec") and b != b"0\n" and (
		    len(b) not in sizes or b != b[:1] * len(b)):
			bad.append((path, len(b), b[:1], b[-1:]))
		if path.endswith("status") and (
		    not b.startswith(b"state:") or b[-1:] != b"\n"):
			bad.append((path, b))
t = [threading.Thread(target=write)]
for p in ("/web/spec", "/web/nantes/spec", "/web/nantes/status"):
	t += [threading.Thread(target=read, args=(m + p,))]
[x.start() for x in t]
time.sleep(6)
stop[0] = True
[x.join() for x in t]
assert not bad, bad[:3]
assert seen[0] > 100, seen' "$M"
}

@test "concurrent: mkdir, rmdir, rename and ls at once stay consistent" {
	site_up nantes
	py '
import random, threading, time
end = time.monotonic() + 5
bad = []
def churn(i):
	r = random.Random(i)
	while time.monotonic() < end:
		n = "%s/c%d" % (m, r.randrange(10))
		try:
			r.choice([os.mkdir, os.rmdir, os.listdir, os.stat])(n)
		except OSError as e:
			if e.errno not in (errno.EEXIST, errno.ENOENT,
			    errno.ENOTEMPTY):
				bad.append((n, e))
def scratch(i):
	while time.monotonic() < end:
		put("base/s%d" % i, "x")
		os.rename(m + "/base/s%d" % i, m + "/base/t")
def look(i):
	while time.monotonic() < end:
		l = os.listdir(m)
		if len(l) != len(set(l)):
			bad.append(l)
os.mkdir(m + "/base")
t = [threading.Thread(target=f, args=(i,)) for f in (churn, scratch, look)
	for i in range(4)]
[x.start() for x in t]
[x.join() for x in t]
assert not bad, bad[:5]'
}

@test "concurrent: two sites' writers, kept apart by turns, lose nothing" {
	local i

	pair_up
	resource
	mkdir "$M/web/paris"
	wait_for 10 ready_on web paris
	for i in {1..10}; do
		echo "nantes $i" >"$W/t"
		cp "$W/t" "$M/web/spec"
		wait_for 5 shows web/spec "$W/t" paris
		echo "paris $i" >"$W/t"
		cp "$W/t" "$(mnt paris)/web/spec"
		wait_for 5 shows web/spec "$W/t" nantes
	done
	equal "$(ls "$M/web/conflicts" 2>/dev/null)" ''
}

@test "caches: with timeouts of an hour a remote change is seen" {
	local p i

	pair_up -o attr_timeout=3600,entry_timeout=3600
	p=$(mnt paris)
	resource
	mkdir "$M/web/paris"
	wait_for 10 shows web/spec "$W/spec.web" paris
	for i in {1..10}; do
		stat -c %s "$p/web/spec" "$p/web/status" >/dev/null
		ls "$p" "$p/web" >/dev/null
		printf "%0$((i * 3))d\n" 7 >"$W/t"
		cp "$W/t" "$M/web/spec"
		seen() {
			[ "$(stat -c %s "$p/web/spec")" = $((i * 3 + 1)) ]
		}
		wait_for 5 seen
		cmp "$p/web/spec" "$W/t"
	done
}

@test "caches: with timeouts of an hour names come and go" {
	local p i

	pair_up -o attr_timeout=3600,entry_timeout=3600
	p=$(mnt paris)
	for i in 1 2 3; do
		[ ! -e "$p/web" ]
		mkdir "$M/web" "$M/web/nantes" "$M/web/paris"
		echo "$i" >"$M/web/spec"
		wait_for 5 test -e "$p/web/spec"
		[ -d "$p/web/nantes" ]
		rmdir "$M/web/nantes"
		wait_for 5 test ! -e "$p/web/nantes"
		rm -rf "$M/web"
		wait_for 5 test ! -e "$p/web"
	done
}

@test "poll: wakes on a remote change of state, status and .events" {
	local p

	pair_up
	p=$(mnt paris)
	resource
	mkdir "$M/web/paris"
	wait_for 10 ready_on web paris
	wait_for 10 state ready
	bg polling "$p/web/status" 15000
	bg polling "$p/.events" 15000
	wait_for 5 grep -q waiting "$W/bg.0"
	wait_for 5 grep -q waiting "$W/bg.1"
	echo two >"$M/web/spec"
	wait_for 5 grep -qx woken "$W/bg.0"
	wait_for 5 grep -qx woken "$W/bg.1"
}

@test "poll: wakes when a heartbeat stops" {
	pair_up
	bg polling "$M/.sites/paris/heartbeat" 30000
	wait_for 5 grep -q waiting "$W/bg.0"
	site_kill9 paris
	wait_for 10 grep -qx woken "$W/bg.0"
	wait_for 15 heartbeat paris dead
}

@test "memory: a hundred thousand looks leave no nodes behind" {
	local before after pid

	# A sanitizer's own memory is not the subject.
	export ASAN_OPTIONS=quarantine_size_mb=1
	site_up nantes
	resource
	pid=$(agent_pid nantes)
	look() {
		py '
for i in range(int(sys.argv[2])):
	try:
		os.stat("%s/nothing%d" % (m, i))
	except OSError:
		pass
	os.stat(m + "/web/spec")
	open(m + "/web/status").close()' "$1"
		echo 2 >/proc/sys/vm/drop_caches
	}
	look 5000
	before=$(awk '/^VmRSS/ { print $2 }' "/proc/$pid/status")
	look 30000
	after=$(awk '/^VmRSS/ { print $2 }' "/proc/$pid/status")
	echo "$before kB, then $after kB"
	[ "$after" -lt $((before + 8192 * CHEOPS_SLOW * CHEOPS_SLOW)) ]
}

#!/usr/bin/env bats
# commit.bats -- one save is one version, whole, or none; and every way to
# save works, with the tools as they are.

load lib

setup() {
	work_setup
	site_up nantes
	resource web first
	S=$M/web/spec
	N=$W/new
	printf 'line one\nline two\n' >"$N"
	LEFT=$(left)
}

left() { # spec.json comes and goes with what the spec is
	names "$M/web" | sed 's/ spec\.json//'
}

# The command makes one version, which is $N; it is put in force, and no
# scratch file stays but those named.
saves() { # [-x LEFT]... COMMAND...
	local left=$LEFT

	while [ "$1" = -x ]; do
		left+=" $2"
		shift 2
	done
	versions web 1 "$@"
	cmp "$S" "$N"
	equal "$(left)" "$(tr ' ' '\n' <<<"$left" | sort |
		tr '\n' ' ' | sed 's/ $//')"
	wait_for 10 in_force web "$N" nantes
	wait_for 10 state ready
}

# The command makes no version; all is as it was.
ignored() { # COMMAND...
	versions web 0 "$@"
	holds "$S" $'first\n'
	in_force web "$W/spec.web" nantes
}

sh_() { # COMMAND -- in a shell of its own that knows S and N
	S=$S N=$N bash -c "$1"
}

# Type into a program that wants a terminal.
typed() { # KEYS COMMAND...
	local keys=$1

	shift
	TERM=xterm "$PYTHON" -c '
import fcntl, os, pty, select, struct, sys, termios, time
keys = [k.encode().decode("unicode_escape").encode("latin-1")
	for k in sys.argv[1].split("|")]
pid, fd = pty.fork()
if pid == 0:
	fcntl.ioctl(0, termios.TIOCSWINSZ,
		struct.pack("HHHH", 24, 80, 0, 0))
	os.execvp(sys.argv[2], sys.argv[2:])
end = time.monotonic() + 20
while time.monotonic() < end:
	r, _, _ = select.select([fd], [], [], 0.2)
	if r:
		try:
			if not os.read(fd, 65536):
				break
		except OSError:
			break
	elif keys: # it has drawn its screen and waits
		os.write(fd, keys.pop(0))
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))' "$keys" "$@"
}

@test "save: cp" {
	saves cp "$N" "$S"
}
@test "save: cp -p, cp -f and cp --remove-destination" {
	saves cp -p "$N" "$S"
	echo three >>"$N"
	saves cp -f "$N" "$S"
	echo four >>"$N"
	saves cp --remove-destination "$N" "$S"
}
@test "save: tee" {
	saves sh_ 'tee "$S" <"$N" >/dev/null'
}
@test "save: cat >" {
	saves sh_ 'cat "$N" >"$S"'
}
@test "save: echo and printf" {
	echo 'just this' >"$N"
	saves sh_ 'echo "just this" >"$S"'
	printf 'a\nb' >"$N"
	saves sh_ 'printf "a\nb" >"$S"'
}
@test "save: a here document" {
	saves sh_ 'cat >"$S" <<EOF
line one
line two
EOF'
}
@test "save: dd, with and without conv=fsync, in many blocks" {
	saves dd if="$N" of="$S" bs=3 status=none
	head -c 300000 /dev/urandom >"$N"
	saves dd if="$N" of="$S" bs=1000 conv=fsync status=none
}
@test "save: mv from another filesystem" {
	cp "$N" "$W/moved"
	saves mv "$W/moved" "$S"
}
@test "save: a temporary file in the directory, and mv" {
	saves sh_ 'cp "$N" "$S.tmp" && mv "$S.tmp" "$S"'
}
@test "save: install" {
	saves install -m 644 "$N" "$S"
}
@test "save: rsync" {
	saves rsync "$N" "$S"
}
@test "save: rsync --inplace" {
	saves rsync --inplace "$N" "$S"
}
@test "save: sed -i" {
	printf 'second\n' >"$N"
	saves sed -i s/first/second/ "$S"
}
@test "save: sed -i.bak leaves its backup, local" {
	printf 'second\n' >"$N"
	saves -x spec.bak sed -i.bak s/first/second/ "$S"
	holds "$M/web/spec.bak" $'first\n'
}
@test "save: perl -i" {
	printf 'second\n' >"$N"
	saves perl -i -pe s/first/second/ "$S"
}
@test "save: ed" {
	printf 'second\n' >"$N"
	saves sh_ 'printf "s/first/second/\nw\nq\n" | ed -s "$S"'
}
@test "save: vim with backupcopy=yes" {
	printf 'second\n' >"$N"
	saves vim -u NONE -es -c 'set backupcopy=yes writebackup' \
		-c '%s/first/second/' -c wq "$S"
}
@test "save: vim with backupcopy=no" {
	printf 'second\n' >"$N"
	saves vim -u NONE -es -c 'set backupcopy=no writebackup' \
		-c '%s/first/second/' -c wq "$S"
}
@test "save: vim with backupcopy=auto, and a backup that stays" {
	printf 'second\n' >"$N"
	saves vim -u NONE -es -c 'set backupcopy=auto writebackup' \
		-c '%s/first/second/' -c wq "$S"
	printf 'third\n' >"$N"
	saves -x spec~ vim -u NONE -es -c 'set backupcopy=auto backup' \
		-c '%s/second/third/' -c wq "$S"
}
@test "save: vim in a terminal, with its swap file" {
	printf 'second\n' >"$N"
	saves typed ':%s/first/second/\r|:wq\r' vim -u NONE -n "$S"
	printf 'third\n' >"$N"
	saves typed ':%s/second/third/\r|:wq\r' vim -u NONE "$S"
}
@test "save: nano" {
	printf 'xfirst\n' >"$N"
	saves typed 'x|\x0f|\r|\x18' nano -I "$S"
}
@test "save: nano -B" {
	printf 'xfirst\n' >"$N"
	saves -x spec~ typed 'x|\x0f|\r|\x18' nano -I -B "$S"
}
@test "save: git --work-tree checkout" {
	mkdir "$W/git"
	cp "$N" "$W/git/spec"
	git -C "$W/git" init -q
	git -C "$W/git" add spec
	git -C "$W/git" -c user.name=x -c user.email=x@x commit -qm x
	saves git --git-dir="$W/git/.git" --work-tree="$M/web" checkout -f \
		-q -- spec
	git --git-dir="$W/git/.git" --work-tree="$M/web" diff --quiet
}
@test "save: tar x" {
	cp "$N" "$W/spec"
	tar -C "$W" -cf "$W/t.tar" spec
	saves tar -C "$M/web" -xf "$W/t.tar"
}
@test "save: truncate to less" {
	printf 'fir' >"$N"
	saves truncate -s 3 "$S"
}
@test "save: python, with and without fsync" {
	saves py 'put("web/spec", "line one\nline two\n")'
	printf 'three' >"$N"
	saves py '
with open(m + "/web/spec", "w") as f:
	f.write("three")
	f.flush()
	os.fsync(f.fileno())'
}
@test "save: python's os.replace" {
	saves py '
put("web/new", "line one\nline two\n")
os.replace(m + "/web/new", m + "/web/spec")'
}
@test "save: sort, jq and grep may write what they read" {
	printf 'b\na\n' >"$S"
	printf 'a\nb\n' >"$N"
	saves sh_ 'sort "$S" >"$S"'
	printf '{"b":1}' >"$S"
	printf '{\n  "b": 1\n}\n' >"$N"
	saves sh_ 'jq . "$S" >"$S"'
}
@test "save: 5 MiB are one version" {
	head -c 5242880 /dev/urandom >"$N"
	saves cp "$N" "$S"
}
@test "save: >> adds to what is there" {
	printf 'first\nsecond\n' >"$N"
	saves sh_ 'echo second >>"$S"'
}

@test "one open, one version: { cat a; sleep 1; cat b; } > spec" {
	local moves

	printf 'a\n' >"$W/a"
	printf 'b\n' >"$W/b"
	printf 'a\nb\n' >"$N"
	bg inotifywait -m -e moved_to,close_write --format '%e %f' "$R"
	wait_for 5 grep -q established "$W/bg.0"
	export A=$W/a B=$W/b
	saves sh_ '{ cat "$A"; sleep 1; cat "$B"; } >"$S"'
	# Nor did the driver ever put anything else there.
	moves=$(grep -c ' web$' "$W/bg.0")
	equal "$moves" 1
}
@test "one open, one version: a loop, a subshell, exec 3>" {
	printf '1\n2\n3\n' >"$N"
	saves sh_ 'for i in 1 2 3; do echo $i; sleep 0.1; done >"$S"'
	printf 'a\n1\n2\n3\n' >"$N"
	saves sh_ '(echo a; seq 3) >"$S"'
	printf 'x\ny\n' >"$N"
	saves sh_ 'exec 3>"$S"; echo x >&3; cat /dev/null >&3; echo y >&3'
}
@test "one open, one version: a child that outlives its parent's close" {
	saves py '
import subprocess
f = open(m + "/web/spec", "wb")
p = subprocess.Popen([sys.executable, "-c", """
import time
time.sleep(0.3)
print("line one", flush=True)
time.sleep(0.3)
print("line two")"""], stdout=f)
f.close()
assert p.wait() == 0'
}
@test "one open, one version: opened by a thread that has ended since" {
	printf 'a\nb\nc\n' >"$N"
	saves py '
import os, subprocess, threading
def start():
	global fd
	fd = os.open(m + "/web/spec", os.O_WRONLY | os.O_TRUNC)
	os.write(fd, b"a\n")
t = threading.Thread(target=start)
t.start()
t.join()
subprocess.run(["echo", "b"], stdout=fd, check=True)
def end():
	os.write(fd, b"c\n")
	os.close(fd)
t = threading.Thread(target=end)
t.start()
t.join()'
}

@test "killed: a writer killed by a signal commits nothing" {
	local sig

	for sig in KILL TERM INT; do
		ignored py '
import signal, subprocess, sys
p = subprocess.Popen([sys.executable, "-c", """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
f = open(sys.argv[1], "w")
f.write("half")
f.flush()
print("written", flush=True)
signal.pause()
""", m + "/web/spec"], stdout=subprocess.PIPE)
p.stdout.readline()
p.send_signal(getattr(signal, "SIG" + sys.argv[2]))
assert p.wait() < 0' $sig
	done
}
@test "killed: a shell's redirection whose command is killed commits nothing" {
	ignored sh_ 'timeout -s KILL 0.3 sh -c "echo half; exec sleep 9" \
		>"$S" || true'
	ignored sh_ '(echo half; kill -KILL $BASHPID) >"$S" || true'
}

@test "nothing new: equal content makes no version" {
	ignored cp "$W/spec.web" "$S"
	ignored sh_ 'echo first >"$S"'
	ignored sed -i s/x/y/ "$S"
}
@test "nothing new: empty content is ignored" {
	ignored sh_ ': >"$S"'
	ignored cp /dev/null "$S"
	ignored sh_ 'false >"$S" || true'
	ignored touch "$S"
	ignored truncate -s 0 "$S" || true
	holds "$S" $'first\n'
}
@test "refused: a single empty line is EINVAL" {
	errno_is EINVAL 'put("web/spec", "\n")'
	errno_is EINVAL 'put("web/driver", "\n")'
	errno_is EINVAL 'put("web/sites", "\n")'
	holds "$S" $'first\n'
}
@test "refused: more than 8 MiB is EFBIG, and that open commits nothing" {
	local rc=0

	head -c 8388608 /dev/zero >"$N"
	saves cp "$N" "$S"
	cp "$N" "$W/more"
	echo x >>"$W/more"
	errno_is EFBIG 'put("web/spec", b"x" * ((8 << 20) + 1))'
	versions web 0 refute cp "$W/more" "$S" 2>/dev/null
	refute sh -c "echo x >>'$S'" 2>/dev/null
	errno_is EFBIG 'os.truncate(m + "/web/spec", 1 << 50)'
	cmp "$S" "$N"
}
@test "refused: spec_max= sets another limit" {
	site_restart nantes -o spec_max=4K
	errno_is 0 'put("web/spec", b"x" * 4096)'
	errno_is EFBIG 'put("web/spec", b"x" * 4097)'
}
@test "refused: set -e; echo nonsense > driver stops the script" {
	local rc=0

	sh -c "set -e; echo nonsense >'$M/web/driver'; echo survived" \
		>"$W/o" 2>&1 || rc=$?
	cat "$W/o"
	[ $rc != 0 ]
	refute grep -q survived "$W/o"
	word "$M/web/driver" directory
	grep -q nonsense "$M/web/error"
}
@test "refused: broken YAML leaves line and column in error" {
	printf 'apiVersion: v1\nkind: [a,\nmetadata: }\n' >"$W/bad"
	versions web 0 refute cp "$W/bad" "$S" 2>/dev/null
	cat "$M/web/error"
	grep -Eq 'line [0-9]+.*column [0-9]+' "$M/web/error"
	holds "$S" $'first\n'
}
@test "refused: echo hears of YAML that nothing could mend" {
	refute sh -c "set -e; printf 'apiVersion: v1\nkind: }\n' >'$S'" \
		2>/dev/null
	holds "$S" $'first\n'
}
@test "refused: a resource named *.json or *.yaml must parse" {
	local n

	for n in a.json a.yaml a.yml; do
		mkdir "$M/$n" "$M/$n/nantes"
		errno_is EINVAL "put('$n/spec', 'a: [1')"
		errno_is 0 "put('$n/spec', '{\"a\": 1}')"
		wait_for 10 state ready "$n"
	done
}
@test "refused: by the driver of now, not of when it was opened" {
	resource a.json '{}'
	exec 5>"$M/a.json/spec"
	echo none >"$M/a.json/driver"
	echo '{]' >&5
	exec 5>&-
	holds "$M/a.json/spec" $'{]\n'
	echo '{}' >"$M/a.json/spec"
	exec 5>"$M/a.json/spec"
	echo directory >"$M/a.json/driver"
	bash -c 'echo "{]" >&5' || true
	exec 5>&- || true
	holds "$M/a.json/spec" $'{}\n'
}
@test "refused: a rename onto spec says so too" {
	printf 'apiVersion: v1\nkind: [a,\n' >"$M/web/tmp"
	errno_is EINVAL 'os.rename(m + "/web/tmp", m + "/web/spec")'
	holds "$S" $'first\n'
}
@test "refused: error shows what was wrong, and of which file" {
	refute sh -c "echo nonsense >'$M/web/driver'" 2>/dev/null
	grep -q driver "$M/web/error"
	refute mkdir "$M/web/oslo" 2>/dev/null
	grep -q oslo "$M/web/error"
}

@test "append: 40 at once are 40 lines" {
	local i pids=()

	for i in {1..40}; do
		sh -c "echo line$i >>'$S'" &
		pids+=($!)
	done
	for i in "${pids[@]}"; do
		wait "$i"
	done
	equal "$(sort "$S" | uniq | wc -l)" 41
	equal "$(wc -l <"$S")" 41
}

@test "reading: who has a file open keeps reading what it was" {
	py '
fd = os.open(m + "/web/spec", os.O_RDONLY)
assert os.pread(fd, 2, 0) == b"fi"
put("web/spec", "second\n")
assert os.pread(fd, 100, 2) == b"rst\n"
assert os.pread(fd, 100, 0) == b"second\n"'
}
@test "reading: who is at the end sees what is added, and then what is new" {
	py '
fd = os.open(m + "/web/spec", os.O_RDONLY)
assert os.read(fd, 100) == b"first\n"
assert os.read(fd, 100) == b""
assert os.read(fd, 100) == b""
os.system("echo second >>" + m + "/web/spec")
assert os.read(fd, 100) == b"second\n"
assert os.read(fd, 100) == b""
os.system("echo something else, and longer >" + m + "/web/spec")
assert os.read(fd, 100) == b"" # the end of what it was
assert os.read(fd, 100) == b"something else, and longer\n"[13:]'
}
@test "reading: what was written is there at once, size too" {
	py '
for i in range(200):
	data = "x" * (i % 37 + 1) + "\n"
	put("web/spec", data)
	assert os.stat(m + "/web/spec").st_size == len(data), i
	assert open(m + "/web/spec").read() == data, i'
}

@test "events: each line is JSON, numbered, with its time" {
	echo second >"$S"
	wait_for 10 jq -es 'any(.event == "applied" or .event == "ready")' \
		"$M/.events"
	jq -es 'length > 1 and all(.[]; has("seq") and has("event") and
		(.time | test("^[0-9]{4}-[0-9]{2}-[0-9]{2}T.*Z$")))' \
		"$M/.events"
	jq -es '[.[].seq] | . == (unique)' "$M/.events"
	equal "$(jq -r 'select(.event == "version") | .version' "$M/.events" |
		tail -n 1)" "$(field "$M/web/nantes/status" desired)"
}
@test "events: tail -f sees new lines" {
	bg tail -n +1 -f "$M/.events"
	wait_for 10 test -s "$W/bg.0"
	echo second >"$S"
	wait_for 10 sh -c "[ \$(grep -c '\"version\"' '$W/bg.0') -ge 2 ]"
	echo third >"$S"
	wait_for 10 sh -c "[ \$(jq -r 'select(.event == \"version\") |
		.version' '$W/bg.0' | sort -u | wc -l) -ge 3 ]"
}
@test "poll: wakes on .events" {
	bg polling "$M/.events" 10000
	wait_for 5 grep -q waiting "$W/bg.0"
	echo second >"$S"
	wait_for 5 grep -qx woken "$W/bg.0"
}
@test "poll: wakes on status and on state" {
	bg polling "$M/web/status" 10000
	bg polling "$M/web/state" 10000
	wait_for 5 grep -q waiting "$W/bg.0"
	wait_for 5 grep -q waiting "$W/bg.1"
	mv "$R" "$R.away"
	echo second >"$S"
	wait_for 5 grep -qx woken "$W/bg.0"
	wait_for 5 grep -qx woken "$W/bg.1"
}
@test "versions: the word is 16 hexadecimal digits, the same everywhere" {
	local v

	echo second >"$S"
	sync "$M/web/.wait"
	v=$(field "$M/web/nantes/status" desired)
	[[ $v =~ ^[0-9a-f]{16}$ ]]
	equal "$(field "$M/web/nantes/status" applied)" "$v"
	equal "$(field "$M/web/nantes/status" healthy)" "$v"
	grep -q "$v" "$M/web/status"
}
@test "driver: chosen at the first spec, and then it stays" {
	word "$M/web/driver" directory
	mkdir "$M/later"
	echo x >"$M/later/spec"
	word "$M/later/driver" directory
}

# One open file that commits more than once; what comes between is put by put().
twice() { # CODE, with commit(text): truncates, writes, syncs
	py "
fd = os.open(m + '/web/spec', os.O_RDWR)
def commit(text):
	os.ftruncate(fd, 0)
	os.pwrite(fd, text, 0)
	os.fsync(fd)
$1
os.close(fd)"
}
hidden() { # what stands in conflicts/, without bases, sorted
	find "$M/web/conflicts" -type f ! -name '*.base' -exec cat {} + |
		sort | tr '\n' ' '
}

@test "twice: an open file goes on from its own version" {
	versions web 3 twice 'commit(b"one\n"); commit(b"two\n"); commit(b"three\n")'
	holds "$S" $'three\n'
	equal "$(names "$M/web/conflicts")" ''
}

@test "twice: what others wrote in between is a conflict, and not replaced" {
	twice 'commit(b"one\n"); put("web/spec", "other\n"); commit(b"two\n")'
	state conflict
	equal "$(sort "$S") $(hidden)" 'two other '
	echo three >"$S"
	wait_for 10 state ready
	equal "$(names "$M/web/conflicts")" ''
}

@test "twice: what others wrote before the first commit stays, too" {
	twice 'put("web/spec", "other\n"); commit(b"one\n"); commit(b"two\n")'
	state conflict
	equal "$(sort "$S") $(hidden)" 'two other '
	# Whoever opens it now sees both.
	twice 'commit(b"three\n"); commit(b"four\n")'
	holds "$S" $'four\n'
	equal "$(names "$M/web/conflicts")" ''
}

@test "twice: a long one is no other" {
	twice '
long = b"x" * 300000
commit(long + b"1\n"); put("web/spec", "other\n"); commit(long + b"2\n")
commit(long + b"3\n")'
	state conflict
	equal "$(tail -c 2 "$S") $(hidden)" '3 other '
}

@test "twice: a driver's word, and a file renamed into place while open" {
	py '
fd = os.open(m + "/web/driver", os.O_RDWR)
for word in (b"none\n", b"directory\n", b"none\n"):
	os.ftruncate(fd, 0)
	os.pwrite(fd, word, 0)
	os.fsync(fd)
os.close(fd)
fd = os.open(m + "/web/.spec.tmp", os.O_RDWR | os.O_CREAT, 0o644)
os.write(fd, b"one\n")
os.rename(m + "/web/.spec.tmp", m + "/web/spec")
put("web/spec", "other\n")
os.write(fd, b"two\n")
os.close(fd)'
	word "$M/web/driver" none
	equal "$(sort "$S" | tr '\n' ' ')$(hidden)" 'one two other '
}

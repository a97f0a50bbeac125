#!/usr/bin/env bats
# tree.bats -- what stands in the tree, under which names, and how tools that
# know nothing of it read it.

load lib

nobody() { # COMMAND...
	setpriv --reuid 65534 --regid 65534 --clear-groups "$@"
}

@test "tree: the root holds what is built, and nothing else" {
	site_up nantes
	equal "$(names "$M")" '.README .drivers .events .held .sites .trash .version'
}

@test "tree: .README explains the tree" {
	local w

	site_up nantes
	for w in spec sites status error .trash 'rm -rf' 'cat web/error'; do
		grep -qF -- "$w" "$M/.README"
	done
}

@test "tree: a resource's directory lists its files and sites" {
	local n

	site_up nantes
	resource
	for n in spec driver sites status state error nantes; do
		[ -e "$M/web/$n" ]
		[[ " $(names "$M/web") " == *" $n "* ]]
	done
	for n in status state spec patch observed; do
		[ -e "$M/web/nantes/$n" ]
		[[ " $(names "$M/web/nantes") " == *" $n "* ]]
	done
}

@test "tree: spec.json is there only where the spec is JSON or YAML" {
	site_up nantes
	resource plain 'just text'
	[ ! -e "$M/plain/spec.json" ]
	resource map 'a: {b: [1, yes, "x"]}'
	jq -e '.a.b[0] == 1 and .a.b[2] == "x"' "$M/map/spec.json"
}

@test "tree: spec.json of several documents is an array" {
	site_up nantes
	resource
	printf -- 'a: 1\n---\na: 2\n' >"$M/web/spec"
	jq -e 'map(.a) == [1, 2]' "$M/web/spec.json"
}

@test "names: mkdir refuses what is no name, each with its errno" {
	site_up nantes
	errno_is EPERM 'os.mkdir(m + "/.x")'
	errno_is EINVAL 'os.mkdir(m + "/a\tb")'
	errno_is EINVAL 'os.mkdir(m + "/a\x7fb")'
	errno_is EINVAL 'os.mkdir(os.fsencode(m) + b"/a\xff")'
	errno_is EINVAL 'os.mkdir(m + "/" + "x" * 254)'
	errno_is ENAMETOOLONG 'os.mkdir(m + "/" + "x" * 256)'
	equal "$(ls "$M")" ''
}

@test "names: a resource may be named with all UTF-8 there is" {
	site_up nantes
	resource 'größe 漢字 *?'
	resource "$(printf 'y%.0s' {1..253})"
	equal "$(find "$M" -maxdepth 1 -name 'y*' | wc -l)" 1
	[ -e "$R/größe 漢字 *?" ]
}

@test "names: mkdir of what is there is EEXIST" {
	site_up nantes
	mkdir "$M/web" "$M/web/nantes"
	errno_is EEXIST 'os.mkdir(m + "/web")'
	errno_is EEXIST 'os.mkdir(m + "/web/nantes")'
}

@test "names: a site that no one has heard of is ENXIO" {
	site_up nantes
	mkdir "$M/web"
	errno_is ENXIO 'os.mkdir(m + "/web/oslo")'
	[ ! -e "$M/web/oslo" ]
	grep -q oslo "$M/web/error"
}

@test "names: no reserved word and no bad label becomes a site" {
	local n

	site_up nantes
	mkdir "$M/web"
	for n in history plan hold policy after conflicts matrix self any \
		Nantes a_b; do
		refute mkdir "$M/web/$n" 2>/dev/null
	done
	equal "$(find "$M/web" -mindepth 1 -type d ! -name conflicts)" ''
}

@test "names: no file, link or fifo is made in the root" {
	site_up nantes
	errno_is 'EPERM|EACCES' 'put("file", "x")'
	errno_is 'EPERM|EACCES' 'os.symlink("x", m + "/link")'
	errno_is 'EPERM|EACCES' 'os.mkfifo(m + "/fifo")'
	equal "$(ls "$M")" ''
}

@test "names: hard links are EPERM" {
	site_up nantes
	resource
	errno_is 'EPERM|EOPNOTSUPP|ENOSYS' \
		'os.link(m + "/web/spec", m + "/web/spec2")'
}

@test "names: mv of a resource out of the tree, or into another, copies nothing" {
	site_up nantes
	resource
	mkdir "$M/db"
	errno_is EPERM 'os.rename(m + "/web", m + "/db/web")'
	errno_is EPERM 'os.rename(m + "/web", m + "/.trash/web")'
	refute mv "$M/web" "$M/db" 2>/dev/null
	holds "$M/web/spec" $'one\n'
	[ ! -e "$M/db/web" ]
}

@test "reading: every file has its true size" {
	site_up nantes
	resource web 'a: 1'
	echo '{"b": 2}' >"$M/web/nantes/patch"
	sync "$M/web/.wait"
	# What changes by itself is read again.
	py '
bad = []
for d, ds, fs in os.walk(m):
	for f in fs:
		p = os.path.join(d, f)
		for i in range(50):
			a = os.stat(p)
			b = open(p, "rb").read()
			if a.st_size == len(b) and a.st_blocks * 512 >= len(b):
				break
		else:
			bad.append((p, a.st_size, len(b)))
assert not bad, bad'
}

@test "reading: inodes are stable" {
	local before

	site_up nantes
	resource
	before=$(cd "$M" && find . | sort | xargs -d '\n' stat -c '%i %n')
	equal "$(cut -d' ' -f1 <<<"$before" | sort | uniq -d)" ''
	echo 2 >/proc/sys/vm/drop_caches
	echo two >"$M/web/spec"
	wait_for 10 state ready
	echo 2 >/proc/sys/vm/drop_caches
	equal "$(cd "$M" && find . | sort | xargs -d '\n' stat -c '%i %n')" \
		"$before"
}

@test "reading: new content has a fresh mtime" {
	local a b

	site_up nantes
	resource
	a=$(stat -c %.Y "$M/web/spec")
	cp "$W/spec.web" "$M/web/spec"
	equal "$(stat -c %.Y "$M/web/spec")" "$a"
	echo two >"$M/web/spec"
	b=$(stat -c %.Y "$M/web/spec")
	[ "$(printf '%s\n' "$a" "$b" | sort -n | tail -n 1)" = "$b" ]
	refute equal "$b" "$a"
}

@test "reading: grep -r, find, tar, cp -a, rsync, du, ls -lR all end with 0" {
	site_up nantes
	resource web 'a: 1'
	resource plain
	timeout 20 grep -r plain "$M" >/dev/null
	timeout 20 find "$M" -type f -size +0 >/dev/null
	timeout 20 du -sb "$M" >/dev/null
	timeout 20 ls -lR "$M" >/dev/null
	timeout 20 cp -a "$M" "$W/copy"
	timeout 20 rsync -a "$M/" "$W/rsync/"
	timeout 20 tar -C "$M" -cf "$W/all.tar" web plain .sites .drivers
	mkdir "$W/tar"
	tar -C "$W/tar" -xf "$W/all.tar"
	cmp "$W/copy/web/spec" "$W/spec.web"
	cmp "$W/rsync/web/spec" "$W/spec.web"
	cmp "$W/tar/web/spec" "$W/spec.web"
}

@test "reading: beyond the end there is nothing, not EINVAL" {
	site_up nantes
	resource
	py '
fd = os.open(m + "/web/spec", os.O_RDONLY)
assert os.pread(fd, 10, 1 << 40) == b""
assert os.pread(fd, 10, 1) == b"ne\n"'
}

@test "reading: a thousand resources are all listed, each once" {
	site_up nantes
	py '
for i in range(1000):
	os.mkdir("%s/r%04d" % (m, i))
names = [n for n in os.listdir(m) if n[0] == "r"]
assert sorted(names) == ["r%04d" % i for i in range(1000)], len(names)
for n in names[::2]:
	os.rmdir(m + "/" + n)
names = [n for n in os.listdir(m) if n[0] == "r"]
assert sorted(names) == ["r%04d" % i for i in range(1, 1000, 2)], len(names)'
}

@test "reading: a listing that is removed from as it is read misses nothing" {
	site_up nantes
	py '
for i in range(300):
	os.mkdir("%s/r%04d" % (m, i))
with os.scandir(m) as it:
	for e in it:
		if e.name[0] == "r":
			os.rmdir(e.path)
assert [n for n in os.listdir(m) if n[0] == "r"] == []'
}

@test "tree: cp -a of a saved resource makes it anew, with 0" {
	site_up nantes
	resource web 'a: 1'
	cp -a "$M/web" "$W/save"
	cp -a "$W/save" "$M/again"
	wait_for 10 state ready again
	cmp "$M/again/spec" "$W/spec.web"
	in_force again "$W/spec.web" nantes
}

@test "tree: cp -r within the mount makes a second resource, with 0" {
	site_up nantes
	resource web 'a: 1'
	cp -r "$M/web" "$M/again"
	wait_for 10 state ready again
	cmp "$M/again/spec" "$W/spec.web"
}

@test "tree: tar x into the mount ends with 0" {
	site_up nantes
	resource web 'a: 1'
	tar -C "$M" -cf "$W/save.tar" web
	mkdir "$W/dir"
	tar -C "$W/dir" -xf "$W/save.tar"
	mv "$W/dir/web" "$W/dir/again"
	tar -C "$W/dir" -cf "$W/again.tar" again
	tar -C "$M" -xf "$W/again.tar"
	wait_for 10 state ready again
	cmp "$M/again/spec" "$W/spec.web"
}

@test "tree: rsync -a into the mount ends with 0" {
	site_up nantes
	resource web 'a: 1'
	rsync -a "$M/web/" "$W/save/"
	rsync -a "$W/save/" "$M/again/"
	wait_for 10 state ready again
	cmp "$M/again/spec" "$W/spec.web"
}

@test "tree: df works" {
	site_up nantes
	df "$M" | tail -n 1 | grep -q "$M"
}

@test "sites: .sites shows this site alive, with all its keys" {
	local k

	site_up nantes
	wait_for 5 heartbeat nantes alive
	for k in heartbeat last-heard rtt-ms backlog address uuid epoch \
		incarnation version clock-skew-ms resources; do
		grep -q "^$k:" "$M/.sites/nantes/status"
	done
	equal "$(ls "$M/.sites/nantes/resources")" ''
}

@test "sites: labels of the config stand in .sites" {
	site_config nantes 'labels: {region: west}'
	site_up nantes
	grep -qx 'region=west' "$M/.sites/nantes/labels"
}

@test "drivers: .drivers shows each driver of this site" {
	site_up nantes
	resource
	grep -q '^reachable:' "$M/.drivers/directory/status"
}

@test "rights: writes to read-only files are refused, also to root" {
	local f

	site_up nantes
	resource
	for f in web/status web/state web/error web/nantes/status \
		web/nantes/spec web/nantes/observed .version .README .events \
		.sites/nantes/status .sites/nantes/heartbeat; do
		errno_is 'EACCES|EPERM' "put('$f', 'x', os.O_TRUNC)"
	done
}

@test "rights: unlink of a file that the tree provides does nothing, with 0" {
	site_up nantes
	resource
	rm -f "$M/web/status" "$M/web/nantes/observed" "$M/web/driver"
	cat "$M/web/status" "$M/web/nantes/observed" >/dev/null
	state ready
	# A writable one makes way for the next, and is back without one.
	wait_for 8 word "$M/web/driver" directory
	state ready
}

@test "rights: chmod, chown and utimens that change nothing succeed" {
	site_up nantes
	resource
	chmod 644 "$M/web/spec"
	chown 0:0 "$M/web/spec" "$M/web"
	touch "$M/web/spec" "$M/web/status"
	touch -d 2020-01-01 "$M/web/spec"
	versions web 0 touch "$M/web/spec"
}

@test "rights: there are no xattrs" {
	site_up nantes
	resource
	errno_is 'EOPNOTSUPP|ENOTSUP' 'os.setxattr(m + "/web/spec", "user.x", b"y")'
	errno_is 'EOPNOTSUPP|ENOTSUP' 'os.getxattr(m + "/web/spec", "user.x")'
}

@test "rights: modes and owners of a directory and a spec are kept" {
	site_up nantes -o allow_other
	resource
	chmod 2750 "$M/web"
	chmod 600 "$M/web/spec"
	chown nobody "$M/web/spec"
	chown :daemon "$M/web"
	equal "$(stat -c '%a %U' "$M/web/spec")" '600 nobody'
	equal "$(stat -c %G "$M/web")" daemon
	[[ $(stat -c %a "$M/web") == *750 ]]
	site_restart nantes -o allow_other
	equal "$(stat -c '%a %U' "$M/web/spec")" '600 nobody'
	equal "$(stat -c %G "$M/web")" daemon
}

@test "rights: allow_other lets others read, and the modes hold" {
	site_up nantes -o allow_other
	resource
	nobody cat "$M/web/spec" "$M/web/status" "$M/.events" >/dev/null
	refute nobody sh -c "echo no >'$M/web/spec'" 2>/dev/null
	refute nobody mkdir "$M/mine" 2>/dev/null
	refute nobody rm -rf "$M/web" 2>/dev/null
	holds "$M/web/spec" $'one\n'
	state ready
}

@test "rights: without allow_other others see nothing" {
	site_up nantes
	resource
	refute nobody cat "$M/web/spec" 2>/dev/null
}

@test "rights: uid, gid and umask say who owns the files" {
	site_up nantes -o allow_other,uid=65534,gid=65534,umask=077
	equal "$(stat -c '%u %g' "$M/.version")" '65534 65534'
	equal "$(stat -c %a "$M/.version")" 400
}

@test "rights: a directory made under umask 077 is private" {
	site_up nantes -o allow_other
	(umask 077 && mkdir "$M/own")
	mkdir "$M/own/nantes"
	echo mine >"$M/own/spec"
	equal "$(stat -c %a "$M/own")" 700
	refute nobody cat "$M/own/spec" 2>/dev/null
	refute nobody ls "$M/own" 2>/dev/null
	site_restart nantes -o allow_other
	equal "$(stat -c %a "$M/own")" 700
	refute nobody cat "$M/own/spec" 2>/dev/null
}

@test "rights: a spec that holds a kind: Secret is private whatever its mode" {
	local f

	site_up nantes -o allow_other
	mkdir "$M/key" "$M/key/nantes"
	printf '%s\n' 'apiVersion: v1' 'kind: Secret' 'metadata: {name: k}' \
		'stringData: {p: hunter2}' >"$M/key/spec"
	chmod 644 "$M/key/spec" || true
	wait_for 10 state ready key
	for f in spec spec.json nantes/spec; do
		refute nobody cat "$M/key/$f" 2>/dev/null
	done
	refute grep -r hunter2 "$M/.events" "$M/key/error" "$M/key/status" \
		"$M/key/nantes/status" "$M/key/nantes/observed"
	refute nobody cat "$R/key" 2>/dev/null
}

@test "scratch: other names are local, and gone with the mount" {
	site_up nantes
	resource
	echo x >"$M/web/.spec.swp"
	ln -s user@host "$M/web/.#spec"
	mv "$M/web/.spec.swp" "$M/web/note"
	holds "$M/web/note" $'x\n'
	equal "$(readlink "$M/web/.#spec")" user@host
	site_restart nantes
	refute ls "$M/web/note" 2>/dev/null
	refute ls "$M/web/.#spec" 2>/dev/null
}

@test "scratch: 64 a directory, 8 MiB each" {
	local got

	site_up nantes
	mkdir "$M/web"
	got=$(py '
n = 0
try:
	for i in range(100):
		put("web/tmp%d" % i, "x")
		n += 1
except OSError as e:
	print(n, errno.errorcode[e.errno])')
	echo "$got"
	[[ $got =~ ^64\ (EDQUOT|ENOSPC)$ ]]
	rm "$M/web/tmp1"
	errno_is 0 'put("web/tmp1", b"x" * (8 << 20))'
	errno_is EFBIG 'put("web/tmp1", b"x" * ((8 << 20) + 1))'
}

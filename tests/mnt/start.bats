#!/usr/bin/env bats
# start.bats -- how the agent starts, refuses to start, and ends.

load lib

# The config is refused at that line, with that in the sentence; nothing is
# mounted.
refuses() { # LINE PATTERN
	local rc=0

	"$CHEOPS" "$W/nantes/cheops.yaml" "$M" >"$W/o" 2>"$W/e" 3>&- 4>&- ||
		rc=$?
	cat "$W/e"
	equal $rc 1
	grep -Eq "^cheops: .*/cheops\.yaml:$1: .*$2" "$W/e"
	refute mountpoint -q "$M"
}

line_of() { # TEXT -- its line in the config
	grep -nF -m1 -- "$1" "$W/nantes/cheops.yaml" | cut -d: -f1
}

usage() { # ARG... -- status 2 and a sentence
	local rc=0

	"$CHEOPS" "$@" >/dev/null 2>"$W/e" 3>&- 4>&- </dev/null || rc=$?
	cat "$W/e"
	equal $rc 2
	[ -s "$W/e" ]
}

@test "start: status 0 means that the tree answers" {
	site_up nantes
	cat "$M/.version"
	[ -d "$M/.sites/nantes" ]
}

@test "start: prints nothing when all is well" {
	site_up nantes
	[ ! -s "$W/nantes/out" ]
	[ ! -s "$W/nantes/err" ]
}

@test "start: --version prints the version, as .version does" {
	site_up nantes
	run -0 "$CHEOPS" --version
	[[ $output =~ [0-9]+\.[0-9]+\.[0-9]+ ]]
	grep -qF "${BASH_REMATCH[0]}" "$M/.version"
}

@test "start: wrong usage is status 2 and says what would be right" {
	site_config nantes
	usage
	usage "$W/nantes/cheops.yaml"
	usage "$W/nantes/cheops.yaml" "$M" more
	usage --nonsense
	usage "$W/nantes/cheops.yaml" "$M" -o nonsense=1
	grep -q nonsense "$W/e"
	usage keys
	usage keys nonsense "$W"
}

@test "start: a config that is not there is named, status 1" {
	mkdir -p "$M"
	run -1 "$CHEOPS" "$W/none.yaml" "$M"
	[[ $output == "cheops: "*"$W/none.yaml"* ]]
}

@test "start: a mount point that is not there is named, status 1" {
	site_config nantes
	run -1 "$CHEOPS" "$W/nantes/cheops.yaml" "$W/nowhere"
	[[ $output == "cheops: "*"$W/nowhere"* ]]
	run -1 "$CHEOPS" "$W/nantes/cheops.yaml" "$W/nantes/cheops.yaml"
	[[ $output == "cheops: "*"cheops.yaml"* ]]
}

@test "start: an unknown key is refused with its line" {
	site_config nantes 'hartbeat: 1s'
	refuses "$(line_of hartbeat)" hartbeat
}

@test "start: an unknown key further down is refused with its line" {
	site_config nantes 'drivers: -' 'x: -'
	printf 'drivers:\n  default: directory\n  directory:\n    rot: root\n' \
		>>"$W/nantes/cheops.yaml"
	refuses "$(line_of 'rot:')" rot
}

@test "start: what is no YAML is refused with its line" {
	site_config nantes
	printf 'labels: {a: [\n' >>"$W/nantes/cheops.yaml"
	refuses '[0-9]+' ''
}

@test "start: a key given twice is refused with its line" {
	site_config nantes
	echo 'site: paris' >>"$W/nantes/cheops.yaml"
	refuses "$(line_of 'site: paris')" site
}

@test "start: a mount point within the store or the root is refused" {
	site_config nantes
	mkdir -p "$W/nantes/store/in" "$W/nantes/root/in"
	run -1 "$CHEOPS" "$W/nantes/cheops.yaml" "$W/nantes/store/in"
	[[ $output == *store* ]]
	run -1 "$CHEOPS" "$W/nantes/cheops.yaml" "$W/nantes/root/in"
	[[ $output == *root* ]]
}

@test "check: says that a config is good, or what is wrong, mounting nothing" {
	site_config nantes
	run -0 "$CHEOPS" check "$W/nantes/cheops.yaml"
	[[ $output == *good* ]]
	site_config nantes 'hartbeat: 1s'
	run -1 "$CHEOPS" check "$W/nantes/cheops.yaml"
	[[ $output == "cheops: "*"cheops.yaml:"*hartbeat* ]]
	[ ! -e "$W/nantes/store" ]
}

@test "start: a site's name must be a DNS label and not reserved" {
	local n

	for n in Nantes nan_tes -nantes spec status self any 'a.b' \
		"$(printf 'a%.0s' {1..64})"; do
		site_config nantes "site: $n"
		refuses "$(line_of 'site: ')" ''
	done
}

@test "start: site and store must be there" {
	site_config nantes 'site: -'
	refuses '[0-9]+' site
	site_config nantes 'store: -'
	refuses '[0-9]+' store
}

@test "start: tls off is refused on other than loopback addresses" {
	site_config nantes 'listen: 192.0.2.1:7421'
	refuses '[0-9]+' tls
	site_config nantes 'peers: {paris: 192.0.2.2:7421}'
	refuses '[0-9]+' tls
}

@test "start: a duration without a unit is refused with its line" {
	site_config nantes 'heartbeat: soon'
	refuses "$(line_of 'heartbeat')" soon
	site_config nantes 'grace: 5'
	refuses "$(line_of 'grace')" 5
}

@test "start: a wrong address is refused with its line" {
	site_config nantes 'listen: 127.0.0.1:port'
	refuses "$(line_of 'listen')" ''
	site_config nantes 'peers: {paris: 127.0.0.1:99999}'
	refuses "$(line_of 'peers')" ''
}

@test "start: a default driver that the site lacks is refused" {
	site_config nantes 'drivers: {default: nonsense}'
	refuses "$(line_of 'drivers')" nonsense
}

@test "start: a certificate that is not there is refused with its line" {
	site_config nantes 'tls: {ca: ca.pem, cert: nantes.pem, key: nantes.key}'
	refuses "$(line_of 'tls')" 'ca\.pem'
}

@test "start: a certificate with another site's name is refused" {
	"$CHEOPS" keys init "$W/keys"
	"$CHEOPS" keys site "$W/keys" paris
	site_config nantes 'tls: {ca: ../keys/ca.pem, cert: ../keys/paris.pem, key: ../keys/paris.key}'
	run -1 "$CHEOPS" "$W/nantes/cheops.yaml" "$M"
	[[ $output == *paris* ]]
	refute mountpoint -q "$M"
}

@test "start: a port that is taken is named, status 1" {
	local port

	port=$(free_port)
	bg "$PYTHON" -uc "
import socket, time
s = socket.socket(); s.bind(('127.0.0.1', $port)); s.listen()
print('bound'); time.sleep(60)"
	wait_for 5 grep -q bound "$W/bg.0"
	site_config nantes "listen: 127.0.0.1:$port"
	run -1 "$CHEOPS" "$W/nantes/cheops.yaml" "$M"
	[[ $output == *"$port"* ]]
	refute mountpoint -q "$M"
}

@test "start: paths in a config are relative to its folder" {
	site_config nantes
	cd /
	site_up nantes
	[ -d "$W/nantes/store/db" ]
	[ -s "$W/nantes/store/lock" ]
}

@test "start: config and mount point may be relative paths" {
	site_config nantes
	cd "$W/nantes"
	"$CHEOPS" cheops.yaml mnt 3>&- 4>&-
	touch up
	cd /
	resource
	in_force web "$W/spec.web" nantes
}

@test "start: a second agent on one store is refused, naming the holder" {
	local pid

	site_up nantes
	pid=$(agent_pid nantes)
	mkdir "$W/other"
	run -1 "$CHEOPS" "$W/nantes/cheops.yaml" "$W/other"
	[[ $output == *"$pid"* ]]
	[[ $output == *"$M"* ]]
	refute mountpoint -q "$W/other"
	equal "$(agent_pid nantes)" "$pid"
	cat "$M/.version"
}

@test "start: a stale mount is cleaned up" {
	site_up nantes
	site_kill9 nantes
	errno_is ENOTCONN 'os.stat(m)'
	site_up nantes
	cat "$M/.version"
	equal "$(grep -c " $M " /proc/self/mounts)" 1
}

@test "start: a stale mount whose attributes the kernel still knows, too" {
	site_up nantes
	# Nothing but a stat of the mount point, just before.
	stat "$M" >/dev/null
	site_kill9 nantes
	stat "$M" >/dev/null
	site_up nantes
	cat "$M/.version"
	equal "$(grep -c " $M " /proc/self/mounts)" 1
}

@test "end: umount ends the agent and lets the store go" {
	local pid

	site_up nantes
	pid=$(agent_pid nantes)
	umount "$M"
	rm "$W/nantes/up"
	wait_for 10 ended "$pid"
	site_up nantes
}

@test "end: fusermount3 -u ends the agent" {
	local pid

	site_up nantes
	pid=$(agent_pid nantes)
	fusermount3 -u "$M"
	rm "$W/nantes/up"
	wait_for 10 ended "$pid"
}

@test "end: SIGTERM ends the agent and takes the mount away" {
	local pid

	site_up nantes
	pid=$(agent_pid nantes)
	kill -TERM "$pid"
	rm "$W/nantes/up"
	wait_for 10 ended "$pid"
	refute mountpoint -q "$M"
}

@test "end: SIGTERM ends it although files are open" {
	local pid

	site_up nantes
	resource
	pid=$(agent_pid nantes)
	exec 7<"$M/web/spec" 8<"$M/.events"
	cd "$M/web"
	kill -TERM "$pid"
	rm "$W/nantes/up"
	wait_for 10 ended "$pid"
	cd /
	exec 7<&- 8<&-
	wait_for 5 refute mountpoint -q "$M"
}

@test "start: -f stays in the foreground, and SIGTERM ends it with 0" {
	local pid rc=0

	site_config nantes
	"$CHEOPS" "$W/nantes/cheops.yaml" "$M" -f >"$W/fg" 2>&1 3>&- 4>&- &
	pid=$!
	BG+=("$pid")
	wait_for 10 cat "$M/.version"
	equal "$(agent_pid nantes)" $pid
	kill -TERM $pid
	wait $pid || rc=$?
	cat "$W/fg"
	equal $rc 0
	refute mountpoint -q "$M"
}

@test "start: tells systemd when it is ready" {
	site_config nantes
	bg "$PYTHON" -uc "
import socket
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind('$W/notify')
print('bound')
while True:
	print(s.recv(4096).decode())"
	wait_for 5 grep -q bound "$W/bg.0"
	NOTIFY_SOCKET=$W/notify "$CHEOPS" "$W/nantes/cheops.yaml" "$M" -f \
		>"$W/fg" 2>&1 3>&- 4>&- &
	BG+=($!)
	wait_for 10 grep -qx 'READY=1' "$W/bg.0"
	cat "$M/.version"
	umount "$M"
	wait $!
}

# mount(8) looks for its helpers in /sbin alone.
helper_install() {
	[ ! -e /sbin/mount.cheops ] || skip '/sbin/mount.cheops is there'
	echo /sbin/mount.cheops >"$W/.links"
	ln -s "$CHEOPS" /sbin/mount.cheops
}

@test "mount: mount -t cheops mounts, umount ends it" {
	local pid

	helper_install
	site_config nantes
	mount -t cheops "$W/nantes/cheops.yaml" "$M" \
		-o allow_other,_netdev,nofail,noatime 3>&- 4>&-
	touch "$W/nantes/up"
	cat "$M/.version"
	grep -E " $M fuse\.?cheops " /proc/self/mounts
	pid=$(agent_pid nantes)
	umount "$M"
	rm "$W/nantes/up"
	wait_for 10 ended "$pid"
}

@test "mount: a line in fstab mounts it" {
	helper_install
	site_config nantes
	echo "$W/nantes/cheops.yaml $M cheops allow_other,_netdev 0 0" \
		>"$W/fstab"
	mount -T "$W/fstab" "$M" 3>&- 4>&-
	touch "$W/nantes/up"
	cat "$M/.version"
}

@test "mount: as a helper it fails with 32 and says why" {
	helper_install
	site_config nantes 'hartbeat: 1s'
	run -32 mount -t cheops "$W/nantes/cheops.yaml" "$M"
	[[ $output == *hartbeat* ]]
	refute mountpoint -q "$M"
}

@test "restart: everything is still there" {
	local before after

	site_up nantes
	resource web 'a: 1'
	resource 'two words' 'plain'
	echo '{"b": 2}' >"$M/web/nantes/patch"
	chmod 640 "$M/web/spec"
	chmod 750 "$M/web"
	wait_for 10 state ready
	before=$(cd "$M" && for f in */spec */driver */sites */state \
		*/*/spec web/*/patch; do sha256sum "$f"; done
		stat -c '%n %a %U %s' web web/spec 'two words'
		field web/nantes/status applied)
	site_restart nantes
	wait_for 10 state ready
	wait_for 10 state ready 'two words'
	after=$(cd "$M" && for f in */spec */driver */sites */state \
		*/*/spec web/*/patch; do sha256sum "$f"; done
		stat -c '%n %a %U %s' web web/spec 'two words'
		field web/nantes/status applied)
	equal "$after" "$before"
}

@test "restart: the site stays the same one, in a new epoch" {
	local uuid epoch

	site_up nantes
	uuid=$(field "$M/.sites/nantes/status" uuid)
	epoch=$(field "$M/.sites/nantes/status" epoch)
	[ -n "$uuid" ]
	[ -n "$epoch" ]
	site_restart nantes
	equal "$(field "$M/.sites/nantes/status" uuid)" "$uuid"
	refute equal "$(field "$M/.sites/nantes/status" epoch)" "$epoch"
}

@test "keys: init and site make what openssl accepts, with the site's names" {
	local uri

	"$CHEOPS" keys init "$W/keys"
	"$CHEOPS" keys site "$W/keys" nantes
	openssl verify -CAfile "$W/keys/ca.pem" "$W/keys/nantes.pem"
	equal "$(stat -c %a "$W/keys/ca.key" "$W/keys/nantes.key" | uniq)" 600
	uri=$(openssl x509 -in "$W/keys/nantes.pem" -noout \
		-ext subjectAltName | tail -n 1)
	echo "$uri"
	[[ $uri == *DNS:nantes* ]]
	[[ $uri =~ URI:cheops://[0-9a-f-]{36}/nantes/[0-9a-f-]{36} ]]
	openssl x509 -in "$W/keys/nantes.pem" -noout -checkend $((824 * 86400))
	refute openssl x509 -in "$W/keys/nantes.pem" -noout \
		-checkend $((826 * 86400))
}

@test "keys: nothing is overwritten, no reserved name is signed" {
	local sum

	"$CHEOPS" keys init "$W/keys"
	"$CHEOPS" keys site "$W/keys" nantes
	sum=$(cat "$W/keys"/* | sha256sum)
	run -1 "$CHEOPS" keys init "$W/keys"
	run -1 "$CHEOPS" keys site "$W/keys" nantes
	run -1 "$CHEOPS" keys site "$W/keys" history
	[[ $output == *history* ]]
	run -1 "$CHEOPS" keys site "$W/keys" 'Big'
	equal "$(cat "$W/keys"/* | sha256sum)" "$sum"
}

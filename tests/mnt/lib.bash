# lib.bash -- the harness of the cases on real mounts.
#
# Each test has a folder of its own, $W, and in it one folder for each site:
#
#	$W/nantes/cheops.yaml	its config
#	$W/nantes/store		its store
#	$W/nantes/root		where its directory driver puts files
#	$W/nantes/mnt		its mount; $M is that of nantes
#
# A site that is up has a file $W/NAME/up. teardown ends whatever a test left,
# and fails the test when an agent died or a sanitizer said something.
#
# CHEOPS names the binary, CHEOPS_TMP where the folders go (not below /tmp:
# editors make no backups there), CHEOPS_SLOW multiplies each deadline.
#
# Nothing here or in a case sleeps but wait_for, and cases whose very subject
# is the time between two events.

# shellcheck shell=bash disable=SC2034 # names for the cases
bats_require_minimum_version 1.5.0
export LC_ALL=C.UTF-8 LC_NUMERIC=C
tests=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
CHEOPS=$(realpath -m "${CHEOPS:-$tests/../build/cheops}")
PYTHON=python3
[ ! -x /usr/bin/python3 ] || PYTHON=/usr/bin/python3
CHEOPS_SLOW=${CHEOPS_SLOW:-1}
BEAT=300ms # heartbeat of the sites: dead after 13 of these
GRACE=1s
TEST_LIMIT=${TEST_LIMIT:-100} # seconds

# A file that wants more of its setup calls this first in its own.
work_setup() {
	W=$(mktemp -d "${CHEOPS_TMP:-/var/tmp}/cheops-XXXXXX")
	chmod 755 "$W"
	M=$W/nantes/mnt
	R=$W/nantes/root
	export CHEOPS_TEST_DIR=$W
	declare -gA ADDR=() NS=()
	SITES=(nantes)
	BG=()
	# A test that hangs is ended from outside, and fails.
	env -u CHEOPS_TEST_DIR "$PYTHON" -c 'import os, sys, time
time.sleep(float(sys.argv[1]))
open(sys.argv[3] + "/over", "w").close()
os.execv(sys.argv[2], sys.argv[2:])' $((TEST_LIMIT * CHEOPS_SLOW)) \
		"$tests/mnt/scrub" "$W" >/dev/null 2>&1 3>&- 4>&- &
	WATCH=$!
}

setup() {
	work_setup
}

teardown() {
	local bad=0 f name pid

	[ -n "${W:-}" ] || return 0
	for pid in "${BG[@]}"; do
		kill -KILL "$pid" 2>/dev/null || true
	done
	for f in "$W"/*/up; do
		[ -e "$f" ] || continue
		name=$(basename "$(dirname "$f")")
		pid=$(agent_pid "$name")
		if ! alive "$pid"; then
			echo "the agent of $name died"
			bad=1
			continue
		fi
		kill -CONT "$pid"
		site_down "$name" || bad=1
	done
	for f in "$W"/*/san.*; do
		[ -e "$f" ] || continue
		echo "sanitizer report, ${f#"$W"/}:"
		head -n 60 "$f"
		bad=1
	done
	if [ -z "${BATS_TEST_COMPLETED:-}" ] || [ $bad != 0 ]; then
		for f in "$W"/*/err; do
			[ ! -s "$f" ] || sed "s|^|${f#"$W"/}: |" "$f" | tail -n 20
		done
	fi
	kill "$WATCH" 2>/dev/null || true
	if [ -e "$W/over" ]; then
		echo "ended after $TEST_LIMIT s"
		bad=1
	fi
	"$tests/mnt/scrub" "$W" || bad=1
	rm -rf --one-file-system "$W"
	return $bad
}

# wait_for SECONDS COMMAND... -- until the command succeeds, or fail. Asks
# each 30 ms. The command must not wait itself.
wait_for() {
	local end=$((${EPOCHREALTIME/./} + $1 * 1000000 * CHEOPS_SLOW))
	local s=$1

	shift
	until "$@" >/dev/null 2>&1; do
		if ((${EPOCHREALTIME/./} >= end)); then
			echo "after $s s still not: $*"
			"$@" || true
			return 1
		fi
		sleep 0.03
	done
}

# holds_for SECONDS COMMAND... -- the command succeeds all that time.
holds_for() {
	local end=$((${EPOCHREALTIME/./} + $1 * 1000000)) s=$1

	shift
	while ((${EPOCHREALTIME/./} < end)); do
		"$@" >/dev/null 2>&1 || {
			echo "within $s s no longer: $*"
			return 1
		}
		sleep 0.03
	done
}

now_ms() {
	echo $((${EPOCHREALTIME/./} / 1000))
}

alive() { # PID
	local stat

	[ -n "${1:-}" ] || return 1
	stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
	[[ ${stat##*) } != Z* ]]
}
ended() {
	! alive "$1"
}

# Does the process wait for an answer of a mount?
in_fuse() { # PID
	grep -qE 'fuse|request_wait' "/proc/$1/wchan" "/proc/$1/stack"
}

refute() { # COMMAND... -- must fail
	if "$@"; then
		echo "should have failed: $*"
		return 1
	fi
}

equal() { # GOT WANT
	[ "$1" = "$2" ] && return 0
	printf 'got:  %s\nwant: %s\n' "$1" "$2"
	return 1
}

# A command in the background that teardown ends; its output in $W/bg.N.
bg() {
	"$@" >"$W/bg.${#BG[@]}" 2>&1 3>&- 4>&- &
	BG+=($!)
}

# Python with m (the mount of nantes) and these words at hand: put(path,
# data) opens with O_TRUNC, writes at once, closes; add() appends.
py() { # CODE [ARG...] -- sys.argv[2:]
	local code=$1

	shift
	"$PYTHON" -c '
import errno, os, sys
m = sys.argv[1]
def put(path, data, flags=os.O_TRUNC | os.O_CREAT):
	if isinstance(data, str):
		data = data.encode()
	fd = os.open(m + "/" + path, os.O_WRONLY | flags, 0o644)
	try:
		while data:
			data = data[os.write(fd, data):]
	finally:
		os.close(fd)
def add(path, data):
	put(path, data, os.O_APPEND)
'"$code" "$M" "$@"
}

errno_of() { # STATEMENT -- the name of its errno, or 0
	py "
try:
	$1
	print(0)
except OSError as e:
	print(errno.errorcode[e.errno])"
}

errno_is() { # NAME[|NAME] STATEMENT
	local got

	got=$(errno_of "$2")
	[[ "|$1|" == *"|$got|"* ]] || {
		echo "$2: got $got, want $1"
		return 1
	}
}

# --- sites -----------------------------------------------------------------

# site_config NAME [LINE...] -- write its config; a line given here takes the
# place of the default line with that key.
site_config() {
	local name=$1 line key
	local -A given=()
	local defaults=("site: $1" 'store: store')

	shift
	mkdir -p "$W/$name/root" "$W/$name/mnt"
	if [ -n "${ADDR[$name]:-}" ]; then
		defaults+=("listen: ${ADDR[$name]}")
		defaults+=("peers: {$(peers_of "$name")}")
	fi
	if [ -e "$W/keys/$name.pem" ]; then
		key=../keys/$name
		defaults+=("tls: {ca: ../keys/ca.pem, cert: $key.pem, key: $key.key}")
	else
		defaults+=('tls: off')
	fi
	defaults+=("heartbeat: $BEAT" "grace: $GRACE")
	defaults+=('drivers: {default: directory, directory: {root: root}}')
	for line; do
		given[${line%%:*}]=1
	done
	{
		for line in "${defaults[@]}"; do
			key=${line%%:*}
			[ -n "${given[$key]:-}" ] || echo "$line"
		done
		for line; do
			[ "${line#*: }" = - ] || echo "$line"
		done
	} >"$W/$name/cheops.yaml"
}

peers_of() { # NAME -- all the others, as a YAML flow map's inside
	local p sep=

	for p in "${!ADDR[@]}"; do
		[ "$p" != "$1" ] || continue
		printf '%s%s: %s' "$sep" "$p" "${ADDR[$p]}"
		sep=', '
	done
}

# Run in a site's network namespace, when it has one. The mount namespace
# stays ours (ip netns exec would make another, and hide mounts).
at() { # NAME COMMAND...
	local ns=${NS[$1]:-}

	shift
	if [ -n "$ns" ]; then
		nsenter --net="/run/netns/$ns" "$@"
	else
		"$@"
	fi
}

# site_up NAME [OPTION...] -- start its agent; 0 once the tree answers.
site_up() {
	local name=$1 rc=0 d=$W/$1

	shift
	[ -e "$d/cheops.yaml" ] || site_config "$name"
	ASAN_OPTIONS=$(san "$name" "${ASAN_OPTIONS:-}") \
	UBSAN_OPTIONS=$(san "$name" "print_stacktrace=1:${UBSAN_OPTIONS:-}") \
	TSAN_OPTIONS=$(san "$name" "${TSAN_OPTIONS:-}") \
		at "$name" "$CHEOPS" "$d/cheops.yaml" "$d/mnt" "$@" \
		</dev/null >"$d/out" 2>"$d/err" 3>&- 4>&- || rc=$?
	if [ $rc != 0 ]; then
		cat "$d/err"
		return $rc
	fi
	echo "$*" >"$d/up"
}

san() { # NAME OPTIONS
	echo "${2:+$2:}log_path=$W/$1/san:exitcode=86"
}

# Whoever holds its store; on a full disk the lock has no line.
agent_pid() { # NAME
	local pid

	pid=$(grep -oEm1 '[0-9]+' "$W/$1/store/lock" 2>/dev/null | head -n 1)
	echo "${pid:-$(pgrep -nf "cheops $W/$1/cheops.yaml")}"
}

# End it by umount; it must go within 15 s.
site_down() { # NAME
	local pid

	pid=$(agent_pid "$1")
	wait_for 5 umount "$W/$1/mnt" || return 1
	rm -f "$W/$1/up"
	wait_for 15 ended "$pid"
}

site_kill9() { # NAME
	local pid

	pid=$(agent_pid "$1")
	rm -f "$W/$1/up"
	kill -KILL "$pid"
	wait_for 5 ended "$pid"
}

site_restart() { # NAME [OPTION...]
	site_down "$1"
	site_up "$@"
}

# Below those that the kernel gives to whoever dials, or one may take it first.
free_port() {
	"$PYTHON" -c 'import random, socket
while True:
    port = random.randrange(12000, 32000)
    try:
        socket.socket().bind(("127.0.0.1", port))
        break
    except OSError:
        pass
print(port)'
}

# Two sites on the loopback, without TLS: nantes and paris.
pair_up() { # [OPTION...]
	local s

	SITES=(nantes paris)
	for s in "${SITES[@]}"; do
		ADDR[$s]=127.0.0.1:$(free_port)
	done
	for s in "${SITES[@]}"; do
		site_up "$s" "$@"
	done
	wait_for 10 all_alive
}

# nantes alone, and paris, which it knows, and which is no more.
bereft() { # [OPTION...]
	pair_up "$@"
	site_kill9 paris
}

# Each site in a network namespace of its own on one bridge, 10.77.0.N, with
# keys of one authority. Names carry our pid: suites may run side by side.
net_up() { # NAME...
	local s i=0 p=ch$BASHPID

	HUB=$p-hub
	SITES=("$@")
	for s in hub "$@"; do
		echo "$p-$s" >>"$W/.netns"
		ip netns add "$p-$s"
		ip -n "$p-$s" link set lo up
	done
	ip -n "$HUB" link add br0 type bridge
	ip -n "$HUB" addr add 10.77.0.254/24 dev br0
	ip -n "$HUB" link set br0 up
	"$CHEOPS" keys init "$W/keys"
	for s; do
		i=$((i + 1))
		NS[$s]=$p-$s
		ADDR[$s]=10.77.0.$i:7421
		ip -n "$HUB" link add "v-$s" type veth peer name eth0 \
			netns "$p-$s"
		ip -n "$HUB" link set "v-$s" master br0 up
		ip -n "$p-$s" addr add "10.77.0.$i/24" dev eth0
		ip -n "$p-$s" link set eth0 up
		"$CHEOPS" keys site "$W/keys" "$s"
	done
}

three_up() {
	local s

	net_up nantes paris lyon
	for s in "${SITES[@]}"; do
		site_up "$s"
	done
	wait_for 15 all_alive
}

link_cut() { # NAME -- pull its cable
	ip -n "$HUB" link set "v-$1" down
}
link_heal() { # NAME
	ip -n "$HUB" link set "v-$1" up
	at "$1" nft delete table inet cut 2>/dev/null || true
}
link_drop() { # NAME -- the cable is there, but swallows all
	at "$1" nft -f - <<-'EOF'
	table inet cut {
		chain in { type filter hook input priority 0; policy drop; }
		chain out { type filter hook output priority 0; policy drop; }
	}
	EOF
}

# --- what the tree shows ---------------------------------------------------

mnt() { # SITE -- its mount
	echo "$W/$1/mnt"
}

word() { # FILE WANT -- a file of one word
	[ "$(cat "$1")" = "$2" ]
}

state() { # WANT [NAME [SITE]] -- of a resource as nantes shows it
	word "$M/${2:-web}/state" "$1"
}

heartbeat() { # SITE WANT [SEEN-BY]
	word "$(mnt "${3:-nantes}")/.sites/$1/heartbeat" "$2"
}

all_alive() {
	local a b

	for a in "${SITES[@]}"; do
		for b in "${SITES[@]}"; do
			heartbeat "$b" alive "$a" || return 1
		done
	done
}

# The file has this very content, on the mount of each site named.
shows() { # PATH FILE SITE...
	local path=$1 file=$2 s

	shift 2
	for s; do
		cmp -s "$file" "$(mnt "$s")/$path" || return 1
	done
}

in_force() { # NAME FILE SITE... -- the driver of each site has put it there
	local name=$1 file=$2 s

	shift 2
	for s; do
		cmp -s "$file" "$W/$s/root/$name" || return 1
	done
}

ready_on() { # NAME SITE... -- each of them says so of itself
	local name=$1 s

	shift
	for s; do
		word "$(mnt "$s")/$name/$s/state" ready || return 1
	done
}

field() { # FILE KEY -- of `key: value` lines
	sed -n "s/^$2: *//p" "$1"
}

# A resource on nantes with a spec, in force.
resource() { # [NAME [TEXT]]
	local name=${1:-web}

	mkdir "$M/$name" "$M/$name/nantes"
	printf '%s\n' "${2:-one}" >"$W/spec.${name:0:99}"
	cp "$W/spec.${name:0:99}" "$M/$name/spec"
	wait_for 10 state ready "$name"
}

# How many versions of a resource's spec were made here, from .events.
commits() { # [NAME]
	jq -r --arg n "${1:-web}" \
		'select(.event == "version" and .resource == $n) | .version' \
		"$M/.events" | wc -l
}

versions() { # NAME N COMMAND... -- the command makes just N versions
	local name=$1 n=$2 before after

	shift 2
	before=$(commits "$name")
	"$@"
	after=$(commits "$name")
	equal "$((after - before)) versions" "$n versions"
}

holds() { # FILE TEXT -- its bytes
	printf '%s' "$2" | cmp - "$1"
}

# What stands in a folder, dot names too, on one line.
names() { # DIR
	(cd "$1" && find . -mindepth 1 -maxdepth 1 -printf '%f\n') |
		sort | tr '\n' ' ' | sed 's/ $//'
}

# Wait in poll() for a file to change; prints "waiting", then what woke it.
polling() { # FILE MILLISECONDS
	"$PYTHON" -uc '
import os, select, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
while os.read(fd, 65536):
	pass
p = select.poll()
p.register(fd, select.POLLPRI | select.POLLERR)
print("waiting")
e = p.poll(int(sys.argv[2]))
print("woken" if e and e[0][1] & (select.POLLPRI | select.POLLERR) else "no")
' "$1" "$2"
}

# demo.bash -- three sites on this machine, for demo and demo-shell.
#
#	DIR/keys		the authority, and each site's key
#	DIR/SITE/cheops.yaml	its config
#	DIR/SITE/store		what it keeps
#	DIR/SITE/srv		where its directory driver puts files
#	DIR/SITE/tree		its mount
#
# Whatever is started carries CHEOPS_DEMO=DIR in its environment, so that all
# of it is found again at the end.

# shellcheck shell=bash

SITES=(nantes paris lyon)
examples=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
CHEOPS=${CHEOPS:-$examples/../build/cheops}
dir=${TMPDIR:-/tmp}/cheops-demo-$$-$RANDOM
dir=${dir//\/\//\/}
made=
status=1 # Until the end is reached.

die() {
	echo "${0##*/}: $*" >&2
	exit 1
}

check_machine() {
	[[ $dir != *[[:space:]]* ]] || die "TMPDIR has blanks in it"
	[ -x "$CHEOPS" ] ||
		die "no program $CHEOPS; run make first, or set CHEOPS"
	CHEOPS=$(realpath "$CHEOPS")
	[ "${CHEOPS##*/}" = cheops ] || die "CHEOPS must be a file named cheops"
	[[ -r /dev/fuse && -w /dev/fuse ]] ||
		die "/dev/fuse: may not be used by $(id -un); try as root"
	[ "$(id -u)" = 0 ] || [ -x "$(command -v fusermount3)" ] ||
		die "fusermount3 is missing; run make deps"
	PATH=${CHEOPS%/*}:$PATH
}

# Everything that was started here.
marked() {
	grep -lzsxF "CHEOPS_DEMO=$dir" /proc/[0-9]*/environ | cut -d/ -f3
}

# Those that hold a store.
agents() {
	local pid

	for pid in $(marked); do
		[ "$(cat "/proc/$pid/comm" 2>&1)" != cheops ] || echo "$pid"
	done
}

unmount() { # SITE
	if [ "$(id -u)" = 0 ]; then
		umount -l "$dir/$1/tree"
	else
		fusermount3 -u -z "$dir/$1/tree"
	fi 2>/dev/null
}

# Whatever happened, nothing is left.
cleanup() {
	local s pid end=$((SECONDS + 5)) sig=TERM

	trap '' INT TERM HUP PIPE
	trap - EXIT
	[ -n "$made" ] || exit "$status"
	cd / || status=1
	# What is started from here on is no longer part of it.
	export -n CHEOPS_DEMO
	while [ -n "$(marked)" ]; do
		for pid in $(marked); do
			kill -$sig "$pid" 2>/dev/null
			kill -CONT "$pid" 2>/dev/null
		done
		[ $SECONDS -lt $end ] || sig=KILL
		sleep 0.05
	done
	for s in "${SITES[@]}"; do
		while unmount "$s"; do
			:
		done
	done
	rm -rf --one-file-system "$dir" || status=1
	exit "$status"
}

# The port of all three, at an address each. It begins at our pid, so that two
# demos at once do not look at the same.
free_port() {
	local port=$((20000 + $$ % 12000)) hex

	while printf -v hex ':%04X ' $port &&
		cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | grep -q "$hex"; do
		port=$((port < 31999 ? port + 1 : 20000))
	done
	echo $port
}

write_configs() {
	local s i port peers

	port=$(free_port)
	for s in "${SITES[@]}"; do
		mkdir -p "$dir/$s/tree"
		peers=
		for i in 1 2 3; do
			[ "${SITES[i - 1]}" != "$s" ] || continue
			peers+="${peers:+, }${SITES[i - 1]}: 127.0.0.$i:$port"
		done
		for i in 1 2 3; do
			[ "${SITES[i - 1]}" = "$s" ] || continue
			cat >"$dir/$s/cheops.yaml" <<-EOF
			site: $s
			listen: 127.0.0.$i:$port
			store: store
			tls: {ca: ../keys/ca.pem, cert: ../keys/$s.pem, key: ../keys/$s.key}
			peers: {$peers}
			heartbeat: 300ms
			grace: 2s
			drivers:
			  directory: {root: srv}
			EOF
		done
	done
	cat >"$dir/web.yaml" <<-'EOF'
	apiVersion: apps/v1
	kind: Deployment
	metadata:
	  name: web
	spec:
	  replicas: 2   # two are enough
	  selector:
	    matchLabels: {app: web}
	  template:
	    metadata:
	      labels: {app: web}
	    spec:
	      containers:
	      - name: nginx
	        image: nginx:1.27
	EOF
	cat >"$dir/resolv.conf" <<-'EOF'
	search example.org
	nameserver 192.0.2.53
	EOF
}

begin() {
	check_machine
	trap cleanup EXIT
	trap 'status=130; exit 130' INT
	trap 'status=143; exit 143' TERM
	trap 'status=129; exit 129' HUP
	trap 'status=141; exit 141' PIPE
	made=1
	mkdir -m 700 "$dir" || {
		made=
		exit 1
	}
	export CHEOPS_DEMO=$dir
	write_configs
	cd "$dir" || exit 1
}

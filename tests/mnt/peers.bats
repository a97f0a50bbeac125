#!/usr/bin/env bats
# peers.bats -- what a site says of others: those it cannot reach, those it
# refuses, and those it was only told of.

load lib

# A site that the config of nantes names, and that is not there yet.
unmet() {
	SITES=(nantes paris)
	ADDR[nantes]=127.0.0.1:$(free_port)
	ADDR[paris]=127.0.0.1:$(free_port)
	site_up nantes
}

message() { # SITE [SEEN-BY]
	field "$(mnt "${2:-nantes}")/.sites/$1/status" message
}
message_is() { # PATTERN SITE [SEEN-BY]
	[[ $(message "$2" "${3:-nantes}") =~ $1 ]]
}

events() { # SEEN-BY EVENT -- their messages, with the site where there is one
	jq -r --arg e "$2" 'select(.event == $e) |
		(.site // "-") + " " + (.message // "")' "$(mnt "$1")/.events"
}
told() { # PATTERN SEEN-BY EVENT
	events "$2" "$3" | grep -E -- "$1"
}

# Certificates on the loopback: paris of the same authority, lyon of another.
authorities() {
	local s

	"$CHEOPS" keys init "$W/keys"
	"$CHEOPS" keys init "$W/others"
	# shellcheck disable=SC2004 # ADDR has words as keys
	for s in nantes paris; do
		"$CHEOPS" keys site "$W/keys" "$s"
		ADDR[$s]=127.0.0.1:$(free_port)
	done
	"$CHEOPS" keys site "$W/others" lyon
	ADDR[lyon]=127.0.0.1:$(free_port)
}

@test "peers: one that was never heard from is listed, and why" {
	local d=$M/.sites/paris

	unmet
	equal "$(names "$M/.sites")" 'error nantes paris'
	word "$d/heartbeat" dead
	equal "$(field "$d/status" heartbeat)" dead
	equal "$(field "$d/status" last-heard)" -
	equal "$(field "$d/status" uuid)" -
	equal "$(field "$d/status" address)" "${ADDR[paris]}"
	wait_for 10 message_is "^never heard from; dialling ${ADDR[paris]}: nobody listens at" paris
	wait_for 5 told '^paris nobody listens at' nantes suspect
	mkdir "$M/web"
	errno_is ENXIO 'os.mkdir(m + "/web/paris")'
	grep -q ' paris: .*not known before it was heard once' "$M/web/error"
	errno_is ENXIO 'put("web/sites", "paris\n")'
	grep -q ' sites: .*not known before it was heard once' "$M/web/error"
	errno_is ENXIO 'os.mkdir(m + "/web/nowhere")'
	grep -q "no site 'nowhere' is known here" "$M/web/error"

	site_up paris
	wait_for 10 all_alive
	equal "$(names "$M/.sites")" 'error nantes paris'
	refute equal "$(field "$d/status" uuid)" -
	wait_for 10 message_is '^-$' paris
	mkdir "$M/web/paris"
	wait_for 10 test -d "$(mnt paris)/web"
}

@test "peers: a reason is told once, and what is new of it again" {
	unmet
	wait_for 10 told '^paris nobody listens at' nantes suspect
	holds_for 2 equal "$(events nantes suspect | wc -l)" 1
	echo 127.0.0.1:1 >"$M/.sites/paris/address"
	wait_for 10 told '^paris nobody listens at 127.0.0.1:1$' nantes suspect
	equal "$(events nantes suspect | wc -l)" 2
}

@test "peers: a dead site says why" {
	bereft
	wait_for 20 heartbeat paris dead
	wait_for 10 message_is "nobody listens at ${ADDR[paris]}" paris
	told '^paris nobody listens at' nantes suspect
	site_up paris
	wait_for 10 heartbeat paris alive
	wait_for 10 message_is '^-$' paris
}

@test "peers: an address that was written is taken back by an empty line" {
	local d=$M/.sites/paris

	pair_up
	echo 127.0.0.1:2 >"$d/address"
	wait_for 10 message_is '127.0.0.1:2' paris
	echo >"$d/address"
	holds "$d/address" "${ADDR[paris]}"$'\n'
	wait_for 10 message_is '^-$' paris
	echo 127.0.0.1:2 >"$d/address"
	site_restart nantes
	holds "$d/address" $'127.0.0.1:2\n'
	echo >"$d/address"
	holds "$d/address" "${ADDR[paris]}"$'\n'
	wait_for 10 heartbeat paris alive
	wait_for 10 message_is '^-$' paris
}

@test "peers: .sites/error says what was refused in .sites" {
	local e=$M/.sites/error

	unmet
	holds "$e" ''
	errno_is EINVAL 'put(".sites/paris/address", "nonsense\n")'
	grep -qE '^[0-9TZ:-]+ paris/address: an address is one line HOST:PORT' "$e"
	errno_is EINVAL 'put(".sites/nantes/labels", "nonsense\n")'
	grep -q ' nantes/labels: line 1: labels are lines key=value' "$e"
	errno_is EPERM 'os.mkdir(m + "/.sites/lyon")'
	grep -q ' lyon: a site is here once it was heard from' "$e"
	errno_is 'EACCES|EPERM' 'put(".sites/paris/status", "x\n", 0)'
	grep -q ' paris/status: ' "$e"
}

@test "peers: a site of another authority leaves a trace on both" {
	authorities
	site_up nantes
	site_config lyon \
		"tls: {ca: ../others/ca.pem, cert: ../others/lyon.pem, key: ../others/lyon.key}"
	site_up lyon
	wait_for 10 message_is 'is of another authority' lyon
	wait_for 10 message_is 'is of another authority' nantes lyon
	wait_for 10 told '^lyon .*another authority' nantes refused
	wait_for 10 told '^- 127.0.0.1: it ended its connection' nantes refused
	wait_for 10 told '^- 127.0.0.1: it ended its connection' lyon refused
	# Both dial each second, and it is told once.
	equal "$(told 'it ended its connection' nantes refused | wc -l)" 1
	equal "$(told '^lyon' nantes refused | wc -l)" 1
	word "$M/.sites/lyon/heartbeat" dead
}

@test "peers: another site at that address is named" {
	authorities
	ADDR[lyon]=${ADDR[paris]}
	site_up nantes
	site_up paris
	wait_for 10 message_is "has the certificate of 'paris', not of 'lyon'" lyon
	wait_for 10 told "^lyon .*certificate of 'paris'" nantes refused
	wait_for 10 heartbeat paris alive
}

@test "peers: who comes without a certificate, or with a foreign one, is told of" {
	local i url

	authorities
	site_up nantes
	url=https://${ADDR[nantes]}/v1/exchange
	for i in 1 2 3; do
		refute curl -sk -m 5 -o /dev/null --data x "$url"
	done
	wait_for 10 told '^- 127.0.0.1: it has no certificate' nantes refused
	refute curl -sk -m 5 -o /dev/null --data x --cert "$W/others/lyon.pem" \
		--key "$W/others/lyon.key" "$url"
	wait_for 10 told '^- 127.0.0.1: its certificate is of another authority' nantes refused
	equal "$(told 'no certificate' nantes refused | wc -l)" 1
}

@test "peers: the log has what wants somebody to look" {
	ADDR[nantes]=127.0.0.1:$(free_port)
	ADDR[paris]=127.0.0.1:$(free_port)
	site_config nantes
	bg "$CHEOPS" "$W/nantes/cheops.yaml" "$M" -f
	wait_for 10 mountpoint -q "$M"
	wait_for 10 grep -q '^cheops: suspect paris: nobody listens at' "$W/bg.0"
	site_up paris
	wait_for 10 grep -q '^cheops: joined paris$' "$W/bg.0"
	kill -TERM "${BG[0]}"
	wait_for 10 ended "${BG[0]}"
}

past() { # TIME -- is it over, to the second
	[[ $(date -u +%FT%TZ) > $1 ]]
}

@test "peers: last-heard is not older than the last exchange" {
	local t d

	BEAT=8s
	pair_up
	d=$(mnt paris)/.sites/nantes/status
	mkdir "$M/web" "$M/web/paris"
	wait_for 10 test -d "$(mnt paris)/web"
	wait_for 5 past "$(date -u +%FT%TZ)"
	t=$(date -u +%FT%TZ)
	echo one >"$M/web/spec"
	wait_for 10 cmp -s "$M/web/spec" "$(mnt paris)/web/spec"
	[[ ! $(field "$d" last-heard) < $t ]]
}

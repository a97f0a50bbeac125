#!/usr/bin/env bats
# three.bats -- three agents in three network namespaces, mutual TLS, real
# keys: what is written on one site is in force on the others.

load lib

setup() {
	work_setup
	three_up
}

# A resource on all three, in force.
shared() { # [NAME [TEXT]]
	local name=${1:-web}

	mkdir "$M/$name" "$M/$name/nantes" "$M/$name/paris" "$M/$name/lyon"
	echo "${2:-one}" >"$W/spec.$name"
	cp "$W/spec.$name" "$M/$name/spec"
	wait_for 15 in_force "$name" "$W/spec.$name" nantes paris lyon
	wait_for 10 ready_on "$name" nantes paris lyon
}

put() { # SITE TEXT [NAME]
	echo "$2" >"$(mnt "$1")/${3:-web}/spec"
}

spec_is() { # TEXT SITE... -- of web
	local s text=$1

	shift
	for s; do
		holds "$(mnt "$s")/web/spec" "$text"$'\n' || return 1
	done
}

state_on() { # SITE WANT [NAME]
	word "$(mnt "$1")/${3:-web}/state" "$2"
}

conflicts() { # SITE
	ls "$(mnt "$1")/web/conflicts" 2>/dev/null
}

conflicts_dir() { # SITE -- it may stand in the listing
	[ ! -d "$(mnt "$1")/web/conflicts" ] || printf "conflicts/ "
}

# The text of all concurrent versions of web.
versions_on() { # SITE
	local f

	{
		cat "$(mnt "$1")/web/spec"
		for f in "$(mnt "$1")"/web/conflicts/*; do
			[[ $f == *.base ]] || cat "$f"
		done
	} | sort | tr '\n' ' '
}

# The same version word for that resource on all sites named.
one_version() { # SITE...
	local s

	[ "$(for s; do
		field "$(mnt "$s")/web/$s/status" healthy
	done | sort -u | wc -l)" = 1 ]
}

@test "three: written on one, seen and in force on the others" {
	local s

	shared
	for s in nantes paris lyon; do
		spec_is one "$s"
		word "$(mnt "$s")/web/driver" directory
		wait_for 10 state_on "$s" ready
		equal "$(cd "$(mnt "$s")/web" && echo */)" \
			"$(conflicts_dir "$s")lyon/ nantes/ paris/"
	done
	one_version nantes paris lyon
}

@test "three: each site may write, and all see it" {
	local s

	shared
	for s in paris lyon nantes; do
		put "$s" "from $s"
		wait_for 5 spec_is "from $s" nantes paris lyon
		echo "from $s" >"$W/t"
		wait_for 10 in_force web "$W/t" nantes paris lyon
	done
}

@test "three: sync .wait returns once it is in force on all" {
	local i

	shared
	for i in 1 2 3 4 5; do
		echo "$i" >"$W/t"
		cp "$W/t" "$M/web/spec"
		sync "$M/web/.wait"
		in_force web "$W/t" nantes paris lyon
	done
	put paris last
	sync "$(mnt paris)/web/lyon/.wait"
	holds "$W/lyon/root/web" $'last\n'
}

@test "three: every save is one version, and no scratch travels" {
	local p n

	shared
	p=$(mnt paris)
	n=$(jq -r 'select(.event == "version" and .resource == "web") |
		.version' "$p/.events" | sort -u | wc -l)
	sed -i s/one/two/ "$M/web/spec"
	wait_for 5 spec_is two paris
	vim -u NONE -es -c 'set backup' -c '%s/two/three/' -c wq "$M/web/spec"
	wait_for 5 spec_is three paris
	echo x >"$M/web/.spec.swp"
	{ echo a; sleep 1; echo b; } >"$M/web/spec"
	wait_for 5 spec_is $'a\nb' paris
	equal "$(($(jq -r 'select(.event == "version" and .resource == "web") |
		.version' "$p/.events" | sort -u | wc -l) - n))" 3
	refute ls "$p/web/.spec.swp" "$p/web/spec~" 2>/dev/null
}

@test "three: a megabyte arrives whole" {
	shared
	head -c 3000000 /dev/urandom >"$W/big"
	cp "$W/big" "$M/web/spec"
	wait_for 15 in_force web "$W/big" nantes paris lyon
	wait_for 5 shows web/spec "$W/big" paris lyon
}

@test "three: a patch of one site changes that site alone" {
	mkdir "$M/web" "$M/web/nantes" "$M/web/paris"
	printf 'a: 1\nb: 2\n' >"$M/web/spec"
	wait_for 15 ready_on web nantes paris
	echo '{"a": 7}' >"$M/web/paris/patch"
	wait_for 10 grep -q 'a: 7' "$W/paris/root/web"
	cmp "$W/nantes/root/web" "$M/web/spec"
	cmp "$(mnt paris)/web/paris/spec" "$W/paris/root/web"
	wait_for 5 shows web/paris/spec "$W/paris/root/web" nantes
}

@test "three: modes and owners travel" {
	shared
	chmod 640 "$M/web/spec"
	chown nobody "$M/web/spec"
	there() {
		[ "$(stat -c '%a %U' "$(mnt lyon)/web/spec")" = '640 nobody' ]
	}
	wait_for 5 there
}

@test "sites: all are known to all, with heartbeat and last-heard" {
	local s o k

	shared
	for s in "${SITES[@]}"; do
		equal "$(ls "$(mnt "$s")/.sites" | tr '\n' ' ')" \
			'error lyon nantes paris '
		for o in "${SITES[@]}"; do
			heartbeat "$o" alive "$s"
			k=$(field "$(mnt "$s")/.sites/$o/status" last-heard)
			[[ $k =~ ^20[0-9-]+T[0-9:.]+Z$ ]]
			equal "$(field "$(mnt "$s")/web/$o/status" heartbeat)" \
				alive
		done
	done
	equal "$(field "$M/.sites/paris/status" uuid)" \
		"$(field "$(mnt lyon)/.sites/paris/status" uuid)"
	equal "$(field "$M/.sites/paris/status" address)" "${ADDR[paris]}"
}

@test "heartbeat: kill -9 is dead within the time, then alive again" {
	local t

	shared
	t=$(now_ms)
	site_kill9 paris
	wait_for 15 heartbeat paris dead
	t=$(($(now_ms) - t))
	echo "dead after $t ms"
	[ $t -ge 2000 ]
	[ $t -le $((8000 * ${CHEOPS_SLOW:-1})) ]
	wait_for 5 heartbeat paris dead lyon
	wait_for 5 word "$M/web/paris/state" unreachable
	wait_for 5 state unreachable
	equal "$(field "$M/web/paris/status" last-state)" ready
	[[ $(field "$M/web/paris/status" last-heard) == 20* ]]
	jq -es 'any(.event == "dead" and .site == "paris")' "$M/.events"
	site_up paris
	wait_for 15 all_alive
	wait_for 10 state ready
}

@test "heartbeat: it is suspect before it is dead" {
	site_kill9 paris
	wait_for 10 heartbeat paris suspect
	wait_for 15 heartbeat paris dead
	jq -es 'map(select(.site == "paris") | .event) |
		index("suspect") < index("dead")' "$M/.events"
}

@test "heartbeat: an agent that is stopped while its sockets live is dead" {
	local pid

	pid=$(agent_pid paris)
	kill -STOP "$pid"
	wait_for 15 heartbeat paris dead
	wait_for 10 heartbeat paris dead lyon
	kill -CONT "$pid"
	wait_for 15 all_alive
}

@test "heartbeat: a clean end is left, or dead, and not ready" {
	shared
	site_down paris
	gone() {
		heartbeat paris left || heartbeat paris dead
	}
	wait_for 15 gone
	wait_for 5 refute word "$M/web/paris/state" ready
}

@test "cut: a write reaches who was cut off once it is back" {
	shared
	link_cut paris
	wait_for 15 heartbeat paris dead
	wait_for 15 heartbeat nantes dead paris
	put nantes two
	wait_for 5 spec_is two lyon
	spec_is one paris
	link_heal paris
	wait_for 15 spec_is two paris
	wait_for 15 ready_on web nantes paris lyon
	wait_for 10 state ready
}

@test "cut: a cable that swallows all is noticed too, and healed" {
	shared
	link_drop paris
	wait_for 20 heartbeat paris dead
	put nantes two
	wait_for 5 spec_is two lyon
	link_heal paris
	wait_for 30 spec_is two paris
	wait_for 15 all_alive
}

@test "cut: the site that is cut off works on, and its write arrives" {
	shared
	link_cut paris
	put paris alone
	echo alone >"$W/t"
	wait_for 5 in_force web "$W/t" paris
	word "$(mnt paris)/web/paris/state" ready
	link_heal paris
	wait_for 15 spec_is alone nantes lyon
	wait_for 10 in_force web "$W/t" nantes lyon
}

@test "cut: one that is dead arrives where its new site is back" {
	link_cut paris
	wait_for 15 heartbeat paris dead
	mkdir "$M/web" "$M/web/paris"
	put nantes late
	wait_for 5 word "$M/web/paris/state" unreachable
	link_heal paris
	wait_for 15 spec_is late paris
	wait_for 10 word "$M/web/paris/state" ready
}

# Write on both sides of a cut, and heal it.
conflict() {
	shared
	link_cut paris
	wait_for 15 heartbeat paris dead
	put nantes left
	put paris right
	link_heal paris
	for s in nantes paris lyon; do
		wait_for 15 state_on "$s" conflict
	done
}

@test "conflict: shown alike on all sites, and nothing is lost" {
	local s

	conflict
	wait_for 10 shows web/spec "$M/web/spec" paris lyon
	for s in nantes paris lyon; do
		equal "$(conflicts "$s")" "$(conflicts nantes)"
		equal "$(versions_on "$s")" 'left right '
	done
	[[ $(conflicts nantes | grep -v base) =~ \
		^20[0-9TZ:-]+-(nantes|paris)-[0-9a-f]{8}$ ]]
	holds "$M/web/conflicts/$(conflicts nantes | grep '\.base$')" $'one\n'
	grep -q '"conflict"' "$M/.events"
}

@test "conflict: the shown version is in force everywhere" {
	conflict
	cp "$M/web/spec" "$W/t"
	wait_for 10 in_force web "$W/t" nantes paris lyon
}

@test "conflict: a write that has seen them resolves it everywhere" {
	local s

	conflict
	put lyon settled
	for s in nantes paris lyon; do
		wait_for 10 state_on "$s" ready
		equal "$(conflicts "$s")" ''
	done
	spec_is settled nantes paris lyon
	echo settled >"$W/t"
	wait_for 10 in_force web "$W/t" nantes paris lyon
}

@test "conflict: equal bytes on both sides are none" {
	shared
	link_cut paris
	wait_for 15 heartbeat paris dead
	put nantes same
	put paris same
	link_heal paris
	wait_for 15 all_alive
	wait_for 15 state ready
	equal "$(conflicts nantes)$(conflicts paris)" ''
	spec_is same nantes paris lyon
}

@test "conflict: it stays over a restart of a site" {
	local before

	conflict
	before=$(conflicts nantes)
	site_kill9 nantes
	site_up nantes
	equal "$(conflicts nantes)" "$before"
	state conflict
}

@test "dial only: a site without listen takes part in everything" {
	site_down lyon
	site_config lyon 'listen: -'
	site_up lyon
	wait_for 15 all_alive
	shared
	put nantes two
	wait_for 5 spec_is two lyon
	put lyon three
	wait_for 5 spec_is three nantes paris
	site_kill9 lyon
	wait_for 15 heartbeat lyon dead
	put nantes four
	site_up lyon
	wait_for 15 spec_is four lyon
	wait_for 15 all_alive
}

@test "outbox: what waits for a site survives a restart of its writer" {
	shared
	link_cut paris
	wait_for 15 heartbeat paris dead
	link_cut lyon
	put nantes kept
	site_kill9 nantes
	site_up nantes
	link_heal lyon
	link_heal paris
	wait_for 20 spec_is kept paris lyon
}

@test "outbox: a dead site gets what it missed when it returns" {
	local i

	shared
	site_kill9 paris
	wait_for 15 heartbeat paris dead
	for i in 1 2 3; do
		put nantes "missed $i"
	done
	mkdir "$M/new" "$M/new/paris"
	put nantes fresh new
	site_up paris
	wait_for 15 spec_is 'missed 3' paris
	wait_for 10 test -e "$(mnt paris)/new/spec"
	wait_for 15 ready_on web nantes paris lyon
	echo fresh >"$W/t"
	wait_for 10 in_force new "$W/t" paris
}

@test "outbox: what a site wrote before kill -9 arrives after its restart" {
	shared
	link_cut paris
	put paris unsent
	site_kill9 paris
	link_heal paris
	site_up paris
	wait_for 15 spec_is unsent nantes lyon
}

@test "remove: a site is withdrawn from afar" {
	shared
	rmdir "$M/web/paris"
	wait_for 10 test ! -e "$W/paris/root/web"
	wait_for 10 test ! -e "$(mnt paris)/web"
	wait_for 5 test ! -e "$(mnt lyon)/web/paris"
	spec_is one nantes lyon
	in_force web "$W/spec.web" nantes lyon
	put nantes two
	wait_for 5 spec_is two lyon
	refute test -e "$(mnt paris)/web"
}

@test "remove: rm -r deletes it everywhere, and mv undoes it everywhere" {
	local s

	shared
	rm -rf "$M/web"
	for s in nantes paris lyon; do
		wait_for 10 test ! -e "$(mnt "$s")/web"
		wait_for 10 test ! -e "$W/$s/root/web"
		equal "$(ls "$(mnt "$s")/.trash")" "$(ls "$M/.trash")"
	done
	[ "$(ls "$M/.trash" | wc -l)" = 1 ]
	mv "$(mnt lyon)/.trash"/web@* "$(mnt lyon)/web"
	wait_for 15 in_force web "$W/spec.web" nantes paris lyon
	wait_for 5 spec_is one nantes paris lyon
}

@test "remove: deleted while a site is away, it goes there when it is back" {
	shared
	site_kill9 paris
	wait_for 15 heartbeat paris dead
	rm -rf "$M/web"
	wait_for 10 test ! -e "$W/lyon/root/web"
	[ -e "$W/paris/root/web" ]
	site_up paris
	wait_for 15 test ! -e "$(mnt paris)/web"
	wait_for 15 test ! -e "$W/paris/root/web"
	holds_for 2 test ! -e "$M/web"
}

@test "remove: a write concurrent with the delete wins over it" {
	shared
	link_cut paris
	wait_for 15 heartbeat paris dead
	put paris precious
	rm -rf "$M/web"
	link_heal paris
	wait_for 15 spec_is precious nantes paris lyon
	holds_for 2 test -e "$W/paris/root/web"
}

# Does any file below hold these bytes?
bytes_in() { # TEXT DIR
	grep -rqaF -- "$1" "$2"
}

@test "relevant: a site that does not hold a resource never gets its bytes" {
	mkdir "$M/private-name" "$M/private-name/nantes" "$M/private-name/paris"
	put nantes secret-marker-7f3a private-name
	wait_for 10 ready_on private-name nantes paris
	put paris secret-marker-9c1b private-name
	wait_for 10 bytes_in secret-marker-9c1b "$W/nantes/root"
	# Two beats more, for whatever else might travel.
	shared other
	site_down lyon
	bytes_in secret-marker-7f3a "$W/nantes/store"
	refute bytes_in secret-marker "$W/lyon/store"
	refute bytes_in private-name "$W/lyon/store"
	[ ! -e "$(mnt lyon)/private-name" ]
	[ ! -e "$W/lyon/root/private-name" ]
}

@test "relevant: the maker is a witness until !+ is written" {
	mkdir "$M/web" "$M/web/paris"
	put nantes one
	wait_for 10 ready_on web paris
	spec_is one nantes
	[ ! -e "$W/nantes/root/web" ]
	echo '!+nantes' >>"$(mnt paris)/web/sites"
	wait_for 10 test ! -e "$M/web"
	spec_is one paris
	holds "$W/paris/root/web" $'one\n'
}

# curl from the bridge, to paris; prints the HTTP status, 000 without one.
curl_paris() { # PATH [CURL-OPTION...]
	local path=$1

	shift
	nsenter --net="/run/netns/$HUB" curl -s -o "$W/answer" -m 5 \
		-w '%{http_code}' "$@" --cacert "$W/keys/ca.pem" \
		--resolve "paris:7421:${ADDR[paris]%:*}" \
		"https://paris:7421$path" || true
}

# Whatever is asked with these credentials is refused, and no harm done.
shut_out() { # CURL-OPTION...
	local path code

	head -c 4096 /dev/urandom >"$W/noise"
	for path in /v1/exchange /v1/resources /v1/resources/web /; do
		code=$(curl_paris "$path" "$@")
		echo "GET $path: $code"
		[[ $code =~ ^(000|4..)$ ]]
		refute grep -q classified "$W/answer"
		code=$(curl_paris "$path" "$@" --data-binary "@$W/noise")
		echo "POST $path: $code"
		[[ $code =~ ^(000|4..)$ ]]
		refute grep -q classified "$W/answer"
	done 2>/dev/null
	all_alive
	spec_is classified nantes paris lyon
}

@test "intruder: without a certificate nothing is read or changed" {
	shared web classified
	shut_out
	nsenter --net="/run/netns/$HUB" curl -s -m 5 \
		"http://${ADDR[paris]}/v1/exchange" >"$W/answer" || true
	refute grep -q classified "$W/answer"
	all_alive
}

@test "intruder: a self-signed certificate is refused" {
	shared web classified
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
		-keyout "$W/x.key" -out "$W/x.pem" -subj /CN=nantes \
		-addext subjectAltName=DNS:nantes 2>/dev/null
	shut_out --cert "$W/x.pem" --key "$W/x.key"
}

@test "intruder: another authority's nantes is refused" {
	shared web classified
	"$CHEOPS" keys init "$W/others"
	"$CHEOPS" keys site "$W/others" nantes
	shut_out --cert "$W/others/nantes.pem" --key "$W/others/nantes.key"
}

@test "intruder: our authority, but no cheops name in it, is refused" {
	shared web classified
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
		-keyout "$W/x.key" -out "$W/x.csr" -subj /CN=nantes 2>/dev/null
	printf 'subjectAltName=DNS:nantes\n' >"$W/ext"
	openssl x509 -req -in "$W/x.csr" -CA "$W/keys/ca.pem" \
		-CAkey "$W/keys/ca.key" -CAcreateserial -out "$W/x.pem" \
		-days 9 -extfile "$W/ext" 2>/dev/null
	shut_out --cert "$W/x.pem" --key "$W/x.key"
}

@test "intruder: a member's noise changes nothing" {
	local code

	shared web classified
	head -c 100000 /dev/urandom >"$W/noise"
	for f in "$W/noise" /dev/null "$W/keys/ca.pem"; do
		code=$(curl_paris /v1/exchange --cert "$W/keys/lyon.pem" \
			--key "$W/keys/lyon.key" --data-binary "@$f")
		echo "$code"
		refute grep -q classified "$W/answer"
		[[ $code != 5* ]]
	done
	all_alive
	spec_is classified nantes paris lyon
}

@test "intruder: another site at paris's address is refused before it hears" {
	local s

	site_down nantes
	site_down paris
	# nantes believes that paris is where lyon is.
	site_config nantes "peers: {paris: ${ADDR[lyon]}}"
	site_up nantes
	mkdir "$M/web" "$M/web/paris"
	put nantes for-paris-only
	wait_for 15 word "$M/web/paris/state" unreachable
	refute heartbeat paris alive
	refute test -e "$(mnt lyon)/web"
	site_down lyon
	refute bytes_in for-paris-only "$W/lyon/store"
}

@test "intruder: without a certificate TLS 1.2 is not spoken either" {
	refute nsenter --net="/run/netns/$HUB" openssl s_client -tls1_2 \
		-connect "${ADDR[paris]}" </dev/null >/dev/null 2>&1
}

@test "crash: kill -9 of a holder under writers; all of it arrives" {
	local n

	shared
	bg "$PYTHON" -uc '
import os, sys
n = 0
try:
	while True:
		fd = os.open(sys.argv[1], os.O_WRONLY | os.O_TRUNC)
		n += 1
		os.write(fd, b"%d\n" % n)
		os.close(fd)
		print(n)
except OSError:
	pass' "$M/web/spec"
	wait_for 20 sh -c "[ \$(wc -l <'$W/bg.0') -gt 100 ]"
	site_kill9 nantes
	wait_for 5 ended "${BG[0]}"
	n=$(tail -n 1 "$W/bg.0")
	site_up nantes
	[ "$(cat "$M/web/spec")" -ge "$n" ]
	wait_for 20 shows web/spec "$M/web/spec" paris lyon
	cp "$M/web/spec" "$W/t"
	wait_for 15 in_force web "$W/t" nantes paris lyon
	equal "$(conflicts nantes)" ''
}

@test "many: fifty resources arrive on all sites" {
	local i

	py '
for i in range(50):
	os.mkdir("%s/r%d" % (m, i))
	put("r%d/sites" % i, "nantes\nparis\nlyon\n")
	put("r%d/spec" % i, "spec of %d\n" % i)'
	arrived() {
		local s

		for s in "${SITES[@]}"; do
			[ "$(cat "$W/$s"/root/r* 2>/dev/null | sort -u |
				wc -l)" = 50 ] || return 1
		done
	}
	wait_for 20 arrived
	all_ready() {
		local s

		for s in "${SITES[@]}"; do
			[ "$(cat "$(mnt "$s")"/r*/state | sort -u)" = ready ] ||
				return 1
		done
	}
	wait_for 20 all_ready
}

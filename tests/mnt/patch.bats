#!/usr/bin/env bats
# patch.bats -- a site's override of the spec, RFC 7396.

load lib

setup() {
	work_setup
	site_up nantes
	mkdir "$M/web" "$M/web/nantes"
	cat >"$M/web/spec" <<-'EOF'
	kind: Thing
	spec:
	  replicas: 3
	  ratio: 1.50
	  big: 12345678901234567890123
	  name: "007"
	list: [1, 2]
	EOF
	wait_for 10 state ready
	P=$M/web/nantes/patch
	E=$M/web/nantes/spec
}

# The effective spec is that, and in force.
effective() { # JSON
	wait_for 10 cmp "$E" "$R/web"
	wait_for 10 state ready
	"$PYTHON" -c 'import json, sys, yaml
got, want = yaml.safe_load(open(sys.argv[1])), json.loads(sys.argv[2])
sys.exit(0 if got == want else "got %s" % got)' "$E" "$1"
}

@test "patch: without one the bytes are the writer's" {
	cmp "$E" "$M/web/spec"
	cmp "$R/web" "$M/web/spec"
	holds "$P" ''
}

@test "patch: in JSON changes what it names" {
	echo '{"spec": {"replicas": 5}}' >"$P"
	effective '{"kind": "Thing", "spec": {"replicas": 5, "ratio": 1.5,
		"big": 12345678901234567890123, "name": "007"},
		"list": [1, 2]}'
	holds "$P" $'{"spec": {"replicas": 5}}\n'
}

@test "patch: in YAML changes what it names; null removes; lists are whole" {
	printf 'spec: {ratio: null, name: x}\nlist: [3]\nnew: {a: true}\n' >"$P"
	effective '{"kind": "Thing", "spec": {"replicas": 3,
		"big": 12345678901234567890123, "name": "x"}, "list": [3],
		"new": {"a": true}}'
}

@test "patch: untouched scalars stay as they were written, keys in order" {
	echo 'spec: {replicas: 5}' >"$P"
	wait_for 10 cmp "$E" "$R/web"
	grep -q 'ratio: 1\.50$' "$E"
	grep -q 'big: 12345678901234567890123$' "$E"
	grep -Eq "name: [\"']007[\"']\$" "$E"
	equal "$(grep -Eo '^ *[a-z]+:' "$E" | tr -d ' \n')" \
		kind:spec:replicas:ratio:big:name:list:
}

@test "patch: desired, applied and healthy are SPEC+PATCH" {
	local s=$M/web/nantes/status v

	echo '{"list": []}' >"$P"
	sync "$M/web/.wait"
	v=$(field "$s" desired)
	[[ $v =~ ^[0-9a-f]{16}\+[0-9a-f]{16}$ ]]
	equal "$(field "$s" applied) $(field "$s" healthy)" "$v $v"
}

@test "patch: what is no map is refused, and nothing changes" {
	local bad

	echo '{"list": []}' >"$P"
	for bad in '[1]' '3' 'text' '{"a": ' 'a: [b'; do
		errno_is EINVAL "put('web/nantes/patch', '$bad')"
	done
	holds "$P" $'{"list": []}\n'
	grep -q patch "$M/web/error"
}

@test "patch: is refused where the spec is no map" {
	resource plain 'just text'
	errno_is EINVAL 'put("plain/nantes/patch", "{\"a\": 1}")'
	grep -q patch "$M/plain/error"
	holds "$M/plain/nantes/spec" $'just text\n'
}

@test "patch: a single empty line clears it" {
	echo '{"spec": {"replicas": 5}}' >"$P"
	wait_for 10 cmp "$E" "$R/web"
	echo >"$P"
	holds "$P" ''
	cmp "$E" "$M/web/spec"
	wait_for 10 cmp "$R/web" "$M/web/spec"
}

@test "patch: empty is ignored, rm does nothing" {
	echo '{"list": []}' >"$P"
	: >"$P"
	holds "$P" $'{"list": []}\n'
	rm -f "$P"
	wait_for 8 holds "$P" $'{"list": []}\n'
	grep -q 'list: \[\]' "$R/web"
}

@test "patch: sed -i, vim and mv save it too" {
	echo '{"spec": {"replicas": 5}}' >"$P"
	sed -i s/5/6/ "$P"
	effective '{"kind": "Thing", "spec": {"replicas": 6, "ratio": 1.5,
		"big": 12345678901234567890123, "name": "007"},
		"list": [1, 2]}'
	vim -u NONE -es -c '%s/6/7/' -c wq "$P"
	holds "$P" $'{"spec": {"replicas": 7}}\n'
	echo '{"spec": {"replicas": 8}}' >"$W/p"
	mv "$W/p" "$P"
	holds "$P" $'{"spec": {"replicas": 8}}\n'
}

@test "patch: stays when the spec changes, and over a restart" {
	echo '{"spec": {"replicas": 5}}' >"$P"
	printf 'spec:\n  replicas: 1\n  x: y\n' >"$M/web/spec"
	effective '{"spec": {"replicas": 5, "x": "y"}}'
	site_restart nantes
	effective '{"spec": {"replicas": 5, "x": "y"}}'
	holds "$P" $'{"spec": {"replicas": 5}}\n'
}

@test "patch: an equal one makes no version" {
	local v

	echo '{"list": []}' >"$P"
	sync "$M/web/.wait"
	v=$(field "$M/web/nantes/status" desired)
	echo '{"list": []}' >"$P"
	equal "$(field "$M/web/nantes/status" desired)" "$v"
}

@test "patch: a JSON spec stays JSON" {
	echo '{"a": 1, "b": 2.50}' >"$M/web/spec"
	echo 'a: 3' >"$P"
	wait_for 10 cmp "$E" "$R/web"
	jq -e '.a == 3' "$E"
	grep -q '2\.50' "$E"
}

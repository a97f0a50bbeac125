# demo.bats -- make demo as a newcomer runs it: whole, twice, twice at once,
# and interrupted anywhere. Whatever happens, nothing is left.
# limit: 600

load lib

setup() {
	work_setup
	mkdir "$W/tmp"
	examples=$(cd "$BATS_TEST_DIRNAME/../../mnt-examples" && pwd)
}

# As from a terminal: a process group of its own, SIGINT not ignored.
begin() { # SCRIPT OUTPUT
	TMPDIR=$W/tmp CHEOPS=$CHEOPS setsid env --default-signal=INT \
		"$examples/$1" </dev/null >"$2" 2>&1 3>&- 4>&- &
	PID=$!
	BG+=($!)
}

# No process, mount or file of any demo below our folder.
nothing_left() {
	local left

	left=$(grep -lzsE "^CHEOPS_DEMO=$W/tmp/" /proc/[0-9]*/environ) || true
	[ -z "$left" ] || {
		echo "still running: $left"
		return 1
	}
	refute grep -F "$W/tmp/" /proc/self/mountinfo
	equal "$(names "$W/tmp")" ""
}

said() { # OUTPUT TEXT
	grep -qF -- "$2" "$1"
}

end_of() { # PID -- its exit status, within a minute; in $rc
	wait_for 60 ended "$1"
	rc=0
	wait "$1" || rc=$?
}

@test "demo: runs whole, and leaves nothing" {
	begin demo "$W/out"
	end_of "$PID"
	cat "$W/out"
	equal "$rc" 0
	said "$W/out" '"event":"dead","site":"lyon"'
	said "$W/out" 'state: unreachable'
	nothing_left
}

@test "demo: runs twice at once" {
	local first

	begin demo "$W/out1"
	first=$PID
	begin demo "$W/out2"
	end_of "$PID"
	equal "$rc" 0
	end_of "$first"
	equal "$rc" 0
	nothing_left
}

# Ctrl-C reaches all that is in the foreground.
interrupt_at() { # TEXT [SIGNAL [SCRIPT]]
	echo "# at: $1"
	rm -f "$W/out" # What the one before said is not what this one says.
	begin "${3:-demo}" "$W/out"
	wait_for 30 said "$W/out" "$1"
	kill -"${2:-INT}" -- "-$PID"
	end_of "$PID"
	[ "$rc" != 0 ] || said "$W/out" 'That was it' # It was quicker.
	nothing_left
}

@test "demo: interrupted at any point, it leaves nothing" {
	interrupt_at 'Three sites'
	interrupt_at 'keys init'
	interrupt_at 'cheops nantes/cheops.yaml'
	interrupt_at 'cheops lyon/cheops.yaml'
	interrupt_at 'until ['
	interrupt_at 'cp web.yaml'
	interrupt_at 'error writing'
	interrupt_at 'tail -n 0'
	interrupt_at 'lyon is started again'
	interrupt_at 'All three are stopped'
	interrupt_at 'rm -rf nantes'
	interrupt_at 'That was it'
}

@test "demo: interrupted at random times, it leaves nothing" {
	local i

	for i in 1 2 3 4 5 6 7 8 9 10; do
		begin demo "$W/out"
		# The time itself is the case: anywhere in what goes quickly.
		sleep "0.$((RANDOM % 9))$i"
		kill -INT -- "-$PID"
		end_of "$PID"
		refute equal "$rc" 0
		nothing_left
	done
}

@test "demo: ended, hung up on, or without a reader, it leaves nothing" {
	interrupt_at 'cp web.yaml' TERM
	interrupt_at 'cp web.yaml' HUP
	TMPDIR=$W/tmp CHEOPS=$CHEOPS "$examples/demo" 2>&1 </dev/null 3>&- 4>&- |
		head -n 3
	wait_for 30 nothing_left
}

@test "demo: a signal to the script alone ends all of it" {
	begin demo "$W/out"
	wait_for 30 said "$W/out" 'tail -n 0'
	kill -TERM "$PID"
	end_of "$PID"
	equal "$rc" 143
	nothing_left
}

@test "demo-shell: three sites, until the shell ends" {
	printf '%s\n' 'mkdir -p nantes/tree/web/{nantes,paris,lyon}' \
		'cp web.yaml nantes/tree/web/spec' \
		'sync nantes/tree/web/.wait' \
		'cmp web.yaml lyon/srv/web && echo same' 'exit 3' |
		TMPDIR=$W/tmp CHEOPS=$CHEOPS SHELL=/bin/bash \
			"$examples/demo-shell" >"$W/out" 2>&1 3>&- 4>&- || rc=$?
	cat "$W/out"
	equal "$rc" 3
	said "$W/out" same
	nothing_left
}

@test "demo-shell: interrupted while it starts, it leaves nothing" {
	local i

	for i in 1 2 3 4 5; do
		begin demo-shell "$W/out"
		sleep "0.$((RANDOM % 4))$i"
		kill -INT -- "-$PID"
		end_of "$PID"
		nothing_left
	done
}

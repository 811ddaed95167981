# SPDX-License-Identifier: GPL-2.0-or-later
# What tests in the rig say and do. "sh lib.sh TEST" runs one, in dom0. A test begins with
# "plan N", and gives N results.
# shellcheck shell=dash disable=SC2034

test_name=${1##*/}
work=/tmp/$test_name
number_file=/tmp/number # of the last result: of all tests
mkdir -p "$work"
cd "$work" || exit 99

# ---- Results -----------------------------------------------------------------

plan()
{
	: # tests/rig/run counts these lines: what is planned and does not come is an error
}

# note TEXT...: for the reader of a failure.
note()
{
	printf '%s\n' "$*" | sed 's/^/#   /'
}

result()
{
	local number=$(($(cat "$number_file" 2>/dev/null || echo 0) + 1))
	echo "$number" >"$number_file"
	echo "$1 $number $test_name: $2"
}

pass()
{
	result ok "$1"
}

fail()
{
	result 'not ok' "$1"
	touch "$work/failed"
}

# skip N WHY: N results.
skip()
{
	local left=$1
	while [ "$left" -gt 0 ]; do
		result ok "$2 # SKIP"
		left=$((left - 1))
	done
}

# ok TEXT COMMAND...: it succeeds. Its output is in the files "out" and "err".
ok()
{
	local text=$1
	shift
	exits 0 "$text" "$@"
}

# exits STATUS TEXT COMMAND...
exits()
{
	local want=$1 text=$2 status=0
	shift 2
	"$@" >out 2>err </dev/null || status=$?
	if [ "$status" = "$want" ]; then
		pass "$text"
	else
		fail "$text"
		note "$*: exit status $status, not $want"
		note "$(tail -n 20 out err)"
	fi
}

# says FILE PATTERN TEXT
says()
{
	if grep -q -e "$2" "$1"; then
		pass "$3"
	else
		fail "$3"
		note "$1 does not say '$2':"
		note "$(tail -n 20 "$1")"
	fi
}

# is GOT WANT TEXT
is()
{
	if [ "$1" = "$2" ]; then
		pass "$3"
	else
		fail "$3"
		note "'$1' instead of '$2'"
	fi
}

# same FILE FILE TEXT
same()
{
	if diff "$1" "$2" >differences; then
		pass "$3"
	else
		fail "$3"
		note "$(head -n 20 differences)"
	fi
}

# until_true SECONDS COMMAND...: whether it has succeeded by then.
until_true()
{
	local end=$(($(cut -d. -f1 /proc/uptime) + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ "$(cut -d. -f1 /proc/uptime)" -lt "$end" ] || return 1
		sleep 0.3
	done
}

# keep FILE...: for the host, where they are kept after a failure.
keep()
{
	mkdir -p "/rig/files/$test_name"
	cp -r "$@" "/rig/files/$test_name/"
}

# ---- Guests ------------------------------------------------------------------

# guest_create NAME COMMAND-LINE XL.CFG-LINE...
guest_create()
{
	local name=$1 extra=$2
	shift 2
	{
		printf '%s\n' "name=\"$name\"" 'type="pvh"' "extra=\"$extra\"" \
			'on_crash="preserve"' "$@"
	} >"$name.cfg"
	# Without RDTSC being trapped: an emulated AMD CPU does not tell the length
	# of the instruction.
	echo 'tsc_mode="native"' >>"$name.cfg"
	rm -f "$(guest_console "$name")" # an earlier one's
	# shellcheck disable=SC2086
	xl create -q ${guest_paused:+-p} "$name.cfg" >"$name.create" 2>&1 || {
		note "$(cat "$name.create")"
		return 1
	}
}

# guest_small NAME SCENARIO XL.CFG-LINE...: the kernel of hv/sim/guest.
guest_small()
{
	local name=$1 scenario=$2
	shift 2
	guest_create "$name" "scenario=$scenario seed=1 tick=${guest_tick:-2000000}" \
		'kernel="/guest/xenpt-guest.elf"' 'memory=32' 'vcpus=1' "$@"
}

# guest_paths NAME OPTIONS XL.CFG-LINE...: the same kernel, which logs its own way. Where each
# of its instructions takes long, its timer has to come seldom.
guest_paths()
{
	local name=$1 options=$2
	shift 2
	guest_create "$name" "scenario=paths seed=1 tick=${guest_tick:-100000000} $options" \
		'kernel="/guest/xenpt-guest.elf"' 'memory=32' 'vcpus=1' "$@"
}

# record_paths NAME FILE SIZE OPTION...: so many bytes of trace; what it says is in "saw".
# Then NAME, which is held for that, tells its log.
record_paths()
{
	local name=$1 file=$2 size=$3 pid status=0
	shift 3
	rm -f "$file"
	xenpt record -d "$name" -o "$file" "$@" >saw 2>&1 &
	pid=$!
	rig-vpt past "$name" "$size" 180 || note "it has not so many bytes"
	xl pause "$name"
	kill -TERM $pid
	wait $pid || status=$?
	rig-path log "$name" >log || status=$?
	xl unpause "$name"
	note "$(tail -n 3 saw)"
	return $status
}

# ring_begin NAME FILE OPTION...: $recorder, of which some trace is awaited.
ring_begin()
{
	local name=$1 file=$2
	shift 2
	rm -f "$file"
	xenpt record -d "$name" -o "$file" "$@" >saw 2>&1 &
	recorder=$!
	rig-vpt past "$name" 2500 160
}

# ring_end NAME: it ends while NAME is held, whose log is then that of all it recorded.
ring_end()
{
	local name=$1 status=0
	xl pause "$name"
	kill -TERM "$recorder"
	wait "$recorder" || status=$?
	rig-path log "$name" >log || status=$?
	xl unpause "$name"
	note "$(tail -n 3 saw)"
	return $status
}

# params_same NAME TEXT: a result; "rig-look params NAME >before" said how.
params_same()
{
	rig-look params "$1" >after
	same before after "$2"
}

# guest_linux NAME WHAT XL.CFG-LINE...: Debian's kernel; WHAT its init does: guest.c.
guest_linux()
{
	local name=$1 what=$2
	shift 2
	guest_create "$name" "console=hvc0 loglevel=4 pti=on rig=$what" \
		'kernel="/guest/vmlinux"' 'ramdisk="/guest/linux.cpio"' 'memory=160' \
		'vcpus=1' "$@"
}

# guest_console NAME: a Linux guest's.
guest_console()
{
	echo "/var/log/xen/console/guest-$1.log"
}

# guest_says NAME PATTERN SECONDS: a Linux guest, on its console, by then.
guest_says()
{
	until_true "$3" grep -q -e "$2" "$(guest_console "$1")"
}

# xen_says PATTERN SECONDS: Xen itself or, as "(d1) …", a guest to Xen.
xen_says_now()
{
	xl dmesg | grep -q -e "$1"
}

xen_says()
{
	until_true "$2" xen_says_now "$1"
}

# guest_is NAME PATTERN: its letters in xl's list, such as "--ps--".
guest_is()
{
	xl list "$1" | awk 'NR == 2 { print $5 }' | grep -q "$2"
}

# Not held, nor at its end; it has a CPU or not.
guest_runs()
{
	guest_is "$1" '^[rb-]*$'
}

guest_is_gone()
{
	! xl domid "$1"
}

# guest_destroy NAME...
guest_destroy()
{
	local name
	for name in "$@"; do
		xl destroy "$name" >/dev/null 2>&1
		until_true 20 guest_is_gone "$name" || note "$name is still there"
	done
}

guests()
{
	xl list | awk 'NR > 2 { print $1 }'
}

# ---- One test ----------------------------------------------------------------

finish()
{
	if [ -e "$work/failed" ]; then
		xl list -l >xl-list 2>&1
		xl dmesg >xl-dmesg 2>&1
		keep "$work" /var/log/xen
	fi
	# shellcheck disable=SC2046
	guest_destroy $(guests)
	cd /
	rm -rf "$work"
}

xl dmesg -c >/dev/null # what earlier guests said
trap finish EXIT
trap 'exit 124' TERM HUP
# shellcheck source=/dev/null
. "$1"

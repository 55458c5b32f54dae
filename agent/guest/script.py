"""The shell script around a command in the guest, by which all of its processes can be found again.

Each command gets a cgroup of its own. Starting a program is the dear part of a command (about 40 ms where the guest is
emulated), so the text uses built-ins alone: the cgroups are made ahead, many at a time, and only a command that misses
its own makes it. Without cgroup v2 a mark in the environment of the processes does.
"""

from __future__ import annotations

import shlex

ROOT = "/sys/fs/cgroup"
GROUPS = f"{ROOT}/corral"
AHEAD = 128
MARK = "CORRAL_EXEC"
NO_FOLDER = 125


def around(command: str, number: int, token: str, folder: str | None) -> str:
    """The script that runs `command` in cgroup `number`, in `folder`; see `missed_folder`."""
    lines = [
        f"[ -d {GROUPS}/{number} ] || {own(number)}",
        f"{{ [ -w {ROOT}/cgroup.procs ] && echo 0 >{GROUPS}/{number}/cgroup.procs; }} 2>/dev/null",
    ]
    if folder is not None:
        lines.append(
            f"cd -- {shlex.quote(folder)} 2>/dev/null || {{ echo {token} >&2; exit {NO_FOLDER}; }}",
        )
    return "; ".join(lines) + f"\n{command}"


def missed_folder(token: str, exit_code: int, stderr: bytes) -> bool:
    """Whether the script, and not the command, ended because the folder can't be entered."""
    return exit_code == NO_FOLDER and stderr == f"{token}\n".encode()


def own(*numbers: int) -> str:
    """Makes those cgroups and no others; in a guest without cgroup v2 it does nothing."""
    names = " ".join(f"{GROUPS}/{each}" for each in numbers)
    return f"{{ [ -w {ROOT}/cgroup.procs ] && mkdir -p {names}; }} 2>/dev/null"


def batch(number: int, count: int = 1) -> int | None:
    """Where the cgroups begin that are to be made now that so many numbers are taken, if it is time for any."""
    begins = (number + count - 1) // AHEAD * AHEAD
    return begins + AHEAD if begins >= number else None


def making(first: int, count: int = AHEAD) -> str:
    """Makes so many cgroups, and removes those that are empty and of numbers long gone by.

    It also asks the kernel, unless it does so already, to make the move into a cgroup quick, which else takes 30 ms (an
    RCU grace period); kernels before 6.0 refuse.
    """
    return f"""
{{ [ -w {ROOT}/cgroup.procs ] || exit 0
while read -r _ at _ options _; do
  [ "$at" = {ROOT} ] || continue
  case $options in *favordynmods*) ;; *) mount -o "remount,$options,favordynmods" {ROOT} ;; esac
done </proc/mounts
old=
for at in {GROUPS}/[0-9]*; do [ "${{at##*/}}" -lt {first - 2 * AHEAD} ] && old="$old $at"; done
[ -n "$old" ] && rmdir $old
new= number={first}
while [ $number -lt {first + count} ]; do new="$new {GROUPS}/$number"; number=$((number + 1)); done
mkdir -p $new
}} 2>/dev/null
"""


def killing(number: int, token: str) -> str:
    """Kills all of a command and exits 0 once nothing of it is left; 1 if something is after 5 s."""
    group = f"{GROUPS}/{number}"
    # `cgroup.kill` is in Linux since 5.14; the marked processes are the way without cgroup v2, and before 5.14.
    return f"""
left() {{
  marked=
  {{ while read -r key value; do [ "$key" = populated ] && [ "$value" = 1 ] && return 0; done <{group}/cgroup.events
  }} 2>/dev/null
  marked=$(grep -ls '{MARK}={token}' /proc/[0-9]*/environ)
  [ -n "$marked" ]
}}
tries=0
while left; do
  {{ echo 1 >{group}/cgroup.kill; }} 2>/dev/null
  for file in $marked; do pid=${{file#/proc/}}; kill -9 "${{pid%/environ}}" 2>/dev/null; done
  tries=$((tries + 1)); [ $tries -gt 100 ] && exit 1
  sleep 0.05
done
rmdir {group} 2>/dev/null
exit 0
"""


def signalling(number: int, token: str, signal: str) -> str:
    """Sends a signal to all processes of a command."""
    return f"""
{{ while read -r pid; do kill -s {signal} "$pid"; done <{GROUPS}/{number}/cgroup.procs; }} 2>/dev/null && exit 0
for file in $(grep -ls '{MARK}={token}' /proc/[0-9]*/environ); do
  pid=${{file#/proc/}}; kill -s {signal} "${{pid%/environ}}" 2>/dev/null
done
exit 0
"""


def releasing(number: int, token: str) -> str:
    """Ends those processes of a command that hold one of its outputs open; exits 0 once there is none.

    The other end of each output is the guest agent's, which is the parent of this script's shell.
    """
    return f"""
holds() {{
  for end in /proc/$1/fd/*; do
    [ -p "$end" ] || continue
    for own in /proc/$PPID/fd/*; do [ "$end" -ef "$own" ] && return 0; done
  done
  return 1
}}
found() {{
  {{ while read -r pid; do holds "$pid" && echo "$pid"; done <{GROUPS}/{number}/cgroup.procs; }} 2>/dev/null && return
  for file in $(grep -ls '{MARK}={token}' /proc/[0-9]*/environ); do
    pid=${{file#/proc/}}; pid=${{pid%/environ}}; holds "$pid" && echo "$pid"
  done
}}
tries=0
while pids=$(found); [ -n "$pids" ]; do
  kill -9 $pids 2>/dev/null
  tries=$((tries + 1)); [ $tries -gt 20 ] && exit 1
  sleep 0.05
done
exit 0
"""

"""The exec supervisor: a shell script in the guest that starts an execution, stores its output, and notes its end.

It uses what every Linux has: a shell, `dd`, and `fallocate` for a command that writes much; a terminal takes more
(agent/guest/terminal_script.py). A command's files are
`<FOLDER>/<id>.pid`, `.out`, `.err` and, once it has ended, `.exit`, all on the guest's disk: its end is known even
after a restart. The supervisor stands in a cgroup of its own and is deaf to what is sent to the command.
"""

from __future__ import annotations

import shlex

from agent.drivers.capabilities.execs import KEPT_BYTES, Size
from agent.guest import script, terminal_script

FOLDER = "/var/lib/corral/execs"
MARK = "CORRAL_KEEPER"
BLOCK = 65536
BLOCKS = KEPT_BYTES // BLOCK
SUFFIX = {"stdout": "out", "stderr": "err"}

# Each output passes through dd, a batch at a time; between two batches the file's old part becomes a hole, so that
# offsets stay what they are. dd writes what it reads at once, and a slow disk slows the command down.
_KEEP = f"""
keep() {{
  exec 4>>"$1"
  from=0
  while :; do
    said=$(LC_ALL=C dd bs={BLOCK} count={BLOCKS} 2>&1 >&4) || {{ cat >/dev/null; return; }}
    full=${{said%%+*}}; full=${{full##*[!0-9]}}; rest=${{said#*+}}; part=${{rest%% *}}
    [ $((full + part)) -lt {BLOCKS} ] && return
    read -r _ size </proc/self/fdinfo/4
    [ "$size" -gt $((from + {KEPT_BYTES})) ] || continue
    from=$((size - {KEPT_BYTES}))
    echo $from >"$1.from"
    fallocate --punch-hole --offset 0 --length $from "$1" 2>/dev/null && continue
    echo "[corral: what follows is not kept, as this file system can't punch holes]" >&4
    cat >/dev/null
    return
  done
}}
"""


def text(exec_id: str, shell: str, number: int, token: str, folder: str | None, tty: Size | None = None) -> str:
    """The script; its first argument is the command. The command's cgroup is `number`, the supervisor's the next."""
    place = f"{FOLDER}/{exec_id}"
    enter = f"cd -- {shlex.quote(folder)} || exit {script.NO_FOLDER}" if folder is not None else ":"
    join = f"{{ [ -w {script.ROOT}/cgroup.procs ] && echo 0 >{script.GROUPS}/{number}/cgroup.procs; }} 2>/dev/null"
    run = (
        _plain(shell, token, join, enter)
        if tty is None
        else terminal_script.running(place, shell, token, join, enter, tty)
    )
    return f"""
trap '' HUP INT QUIT TERM USR1 USR2
path=$PATH; PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
umask 077
[ -d {FOLDER} ] || mkdir -p {FOLDER}
echo $$ >{place}.pid
[ -d {script.GROUPS}/{number + 1} ] || {script.own(number, number + 1)}
{{ [ -w {script.ROOT}/cgroup.procs ] && echo 0 >{script.GROUPS}/{number + 1}/cgroup.procs; }} 2>/dev/null
{_KEEP}
run() (
  trap - HUP INT QUIT TERM USR1 USR2
  unset {MARK}
{run}
)
began=$EPOCHREALTIME
{{ {{ run "$1"; code=$?; echo "$code $began $EPOCHREALTIME" >{place}.code; }} 2>&3 3>&- | keep {place}.out; }} \\
  3>&1 | keep {place}.err
read -r code <{place}.code; echo "$code" >{place}.exit
"""


def _plain(shell: str, token: str, join: str, enter: str) -> str:
    return f"""  umask 022
  {join}
  {enter}
  PATH=$path {script.MARK}={token} exec {shell} -c "$1"
"""


def removing(exec_ids: list[str]) -> str:
    """Removes all files of those commands."""
    return "rm -f " + " ".join(f"{FOLDER}/{exec_id}.*" for exec_id in exec_ids)

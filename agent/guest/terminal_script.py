"""The shell text around a detached command that has a terminal; the guest needs util-linux' `script` for it.

`script` holds the other end of the terminal. It stands beside the supervisor, so that signals to the command, and its
end, leave it alone. What comes through the pipe `<place>.in` is typed; `<place>.tty` says which terminal it is.
"""

from __future__ import annotations

import shlex

from agent.drivers.capabilities.execs import Size
from agent.guest import script

ENVIRONMENT = {"TERM": "xterm-256color"}
PROBE = """
for each in stty tty mkfifo; do command -v $each || exit 1; done >/dev/null
script -qefc true /dev/null </dev/null >/dev/null 2>&1
"""
"""Exits 0 in a guest that has what it takes."""


def running(place: str, shell: str, token: str, join: str, enter: str, size: Size) -> str:
    """Runs the command, the text's first argument, on a new terminal; its exit code is the command's."""
    inside = f"""
umask 022
{join}
stty sane rows {size.rows} columns {size.columns}
tty >{place}.tty
{enter}
command=$CORRAL_COMMAND PATH=$CORRAL_PATH
unset CORRAL_COMMAND CORRAL_PATH
{script.MARK}={token} exec {shell} -c "$command"
"""
    return f"""  mkfifo -m 600 {place}.in || exit
  export SHELL={shell} CORRAL_COMMAND="$1" CORRAL_PATH="$path"
  exec script -qefc {shlex.quote(inside)} /dev/null <>{place}.in
"""


def resizing(place: str, size: Size) -> str:
    """Gives the terminal that size, which tells the programs on it; waits a little for one that is just begun."""
    return f"""
tries=0
until read -r at <{place}.tty; do
  tries=$((tries + 1)); [ $tries -gt 40 ] && exit 1
  sleep 0.05
done 2>/dev/null
stty -F "$at" rows {size.rows} columns {size.columns}
"""

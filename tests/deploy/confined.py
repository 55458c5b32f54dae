"""Starts a unit's program within the limits that systemd would set: `python confined.py UNIT`.

No systemd runs where tests do, so its system call filter, memory rule, rights and NoNewPrivileges are set by hand, from
the unit's own lines. Namespaces of the file system, devices and users are not.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shlex
import subprocess
import sys
from pathlib import Path

_PR_SET_NO_NEW_PRIVS, _PR_SET_MDWE, _REFUSE_EXEC_GAIN = 38, 65, 1
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM
# Of setpriv, whose list is made of what a unit keeps.
_PREFIX = "CAP_"


def lines(unit: Path) -> dict[str, list[str]]:
    """The values of each directive, in order, a line that ends in a backslash joined to its next."""
    found: dict[str, list[str]] = {}
    for line in unit.read_text().replace("\\\n", " ").splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(name, []).append(value.strip())
    return found


def command(told: dict[str, list[str]]) -> list[str]:
    """ExecStart's words, with options from the environment, as systemd has them."""
    text = told["ExecStart"][0].replace("%%", "%")
    return [part for word in shlex.split(text) for part in (_expanded(word) if word.startswith("$") else [word])]


def main(unit: Path) -> None:
    """Becomes the unit's program."""
    told = lines(unit)
    kept = " ".join(told["CapabilityBoundingSet"]).replace(_PREFIX, "").lower().split()
    bounds = ",".join(["-all", *(f"+{capability}" for capability in kept)])
    line = ["setpriv", f"--bounding-set={bounds}", "--inh-caps=-all", "--", *command(told)]
    libc = ctypes.CDLL(None, use_errno=True)
    _must(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    if told.get("MemoryDenyWriteExecute") == ["yes"]:
        _must(libc.prctl(_PR_SET_MDWE, _REFUSE_EXEC_GAIN, 0, 0, 0))
    _filter(told["SystemCallFilter"])
    os.execvp(line[0], line)  # noqa: S606


def _expanded(word: str) -> list[str]:
    return shlex.split(os.environ.get(word[1:], ""))


def _filter(values: list[str]) -> None:
    """As systemd.exec(5) merges them: a first list that allows refuses all else, and one with `~` takes away."""
    allows = not values[0].startswith("~")
    first = _calls(values[0]) if allows else set()
    taken = set().union(*(_calls(value) for value in values if value.startswith("~")))
    seccomp = ctypes.CDLL("libseccomp.so.2")
    seccomp.seccomp_init.restype = ctypes.c_void_p
    made = ctypes.c_void_p(seccomp.seccomp_init(_REFUSE if allows else _ALLOW))
    # setpriv, which is before the program here and not under systemd, sets capabilities.
    for name in sorted(first - taken | {"capset", "execve"} if allows else taken):
        number = seccomp.seccomp_syscall_resolve_name(name.encode())
        if number >= 0:
            _must(seccomp.seccomp_rule_add(made, _ALLOW if allows else _REFUSE, number, 0))
    _must(seccomp.seccomp_load(made))


def _calls(value: str) -> set[str]:
    found: set[str] = set()
    for name in value.lstrip("~").split():
        found |= _set(name) if name.startswith("@") else {name}
    return found


def _set(name: str) -> set[str]:
    told = subprocess.run(["systemd-analyze", "syscall-filter", name], capture_output=True, text=True, check=True)
    names = {line.strip() for line in told.stdout.splitlines() if line.startswith("    ")}
    calls = {each for each in names if not each.startswith(("@", "#"))}
    return calls.union(*(_set(each) for each in names if each.startswith("@")))


def _must(result: int) -> None:
    if result < 0:
        raise OSError(ctypes.get_errno() or -result, "the limit can't be set")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

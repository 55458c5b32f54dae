"""Checks of the kernel's parameters in force, read from /proc/sys."""

from __future__ import annotations

from collections.abc import Callable

from workers.scans.check import CannotJudge, Controls, Family, Judge, ScanCheck
from workers.scans.controls import HARDENING, NETWORK

_IPV4 = ("net/ipv4/conf/all", "net/ipv4/conf/default")


def _values(is_good: Callable[[int], bool]) -> Judge:
    def judge(text: str) -> list[str]:
        lines = [line.split(":") for line in text.splitlines() if line.strip()]
        if not lines:
            raise CannotJudge("the kernel has no such parameter")
        if not all(len(line) == 2 and line[1].lstrip("-").isdigit() for line in lines):
            raise CannotJudge(f"not a number: {text.strip()[:100]}")
        return [f"{name.replace('/', '.')} = {value}" for name, value in lines if not is_good(int(value))]

    return judge


def _check(
    id_: str, severity: str, title: str, names: tuple[str, ...], good: str, controls: Controls = HARDENING
) -> ScanCheck:
    wanted: dict[str, Callable[[int], bool]] = {
        "0": lambda value: value == 0,
        "1": lambda value: value == 1,
        "1 or 2": lambda value: value in (1, 2),
        "2": lambda value: value == 2,
        "1 or more": lambda value: value >= 1,
        "2 or more": lambda value: value >= 2,
    }
    advice = f"Set {', '.join(name.replace('/', '.') for name in names)} to {good} in /etc/sysctl.d/"
    return ScanCheck(
        f"kernel-{id_}", title, severity, f"show {' '.join(names)}", _values(wanted[good]), advice, controls
    )


def _each(name: str) -> tuple[str, ...]:
    return tuple(f"{where}/{name}" for where in _IPV4)


_CHECKS = (
    _check("aslr", "high", "Address space layout randomization (ASLR) is off", ("kernel/randomize_va_space",), "2"),
    _check("kptr", "low", "Kernel addresses are exposed", ("kernel/kptr_restrict",), "1 or more"),
    _check("dmesg", "low", "Everyone may read the kernel's log", ("kernel/dmesg_restrict",), "1"),
    _check(
        "ptrace",
        "medium",
        "Programs may inspect one another (ptrace)",
        ("kernel/yama/ptrace_scope",),
        "1 or more",
    ),
    _check(
        "bpf",
        "medium",
        "Unprivileged users may load BPF programs",
        ("kernel/unprivileged_bpf_disabled",),
        "1 or more",
    ),
    _check(
        "perf",
        "low",
        "Unprivileged users may use kernel performance events",
        ("kernel/perf_event_paranoid",),
        "2 or more",
    ),
    _check(
        "protected-links",
        "medium",
        "Links in shared folders are not protected",
        ("fs/protected_hardlinks", "fs/protected_symlinks"),
        "1",
    ),
    _check(
        "protected-fifos",
        "low",
        "Files and pipes in shared folders are not protected",
        ("fs/protected_fifos", "fs/protected_regular"),
        "1 or more",
    ),
    _check("core-dumps", "medium", "Privileged programs leave core dumps", ("fs/suid_dumpable",), "0"),
    _check(
        "syncookies",
        "medium",
        "No protection from SYN floods (SYN cookies are off)",
        ("net/ipv4/tcp_syncookies",),
        "1",
        NETWORK,
    ),
    _check(
        "rp-filter",
        "medium",
        "Packets with forged source addresses are accepted",
        _each("rp_filter"),
        "1 or 2",
        NETWORK,
    ),
    _check(
        "accept-redirects",
        "medium",
        "ICMP redirects are accepted",
        (
            *_each("accept_redirects"),
            "net/ipv6/conf/all/accept_redirects",
            "net/ipv6/conf/default/accept_redirects",
        ),
        "0",
        NETWORK,
    ),
    _check("send-redirects", "low", "ICMP redirects are sent", _each("send_redirects"), "0", NETWORK),
    _check(
        "source-route",
        "medium",
        "Source-routed packets are accepted",
        _each("accept_source_route"),
        "0",
        NETWORK,
    ),
    _check(
        "martians",
        "low",
        "Packets with impossible source addresses are not logged",
        _each("log_martians"),
        "1",
        NETWORK,
    ),
    _check("forwarding", "low", "The machine routes between networks", ("net/ipv4/ip_forward",), "0", NETWORK),
)

# One process for all. Not the shell itself: it reads byte by byte, and of these files only the first byte comes so.
_NAMES = sorted({name for check in _CHECKS for name in check.gather.split()[1:]})
_PREPARE = f"""
VALUES=$(cd /proc/sys && grep -Hs . {" ".join(_NAMES)})
show() {{
    while read -r line; do
        for name in "$@"; do [ "${{line%%:*}}" = "$name" ] && echo "$line"; done
    done <<END
$VALUES
END
    true
}}
"""
FAMILY = Family("kernel", "configuration", _CHECKS, _PREPARE)

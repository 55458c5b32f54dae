"""Checks of packages with known weaknesses, by the guest's own package manager."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime

from workers.scans.check import CannotJudge, Family, ScanCheck, offenders
from workers.scans.controls import PATCHING, SOFTWARE

_PREPARE = """
if command -v apt-get >/dev/null; then MANAGER=apt
elif command -v dnf >/dev/null; then MANAGER=dnf
elif command -v apk >/dev/null; then MANAGER=apk
fi
lists() { for each in /var/lib/apt/lists/*_Packages*; do [ -e "$each" ] && return; done; return 1; }
upgrades() {
    case "$MANAGER" in
    apt)
        lists || cannot "the guest has no package lists: run apt-get update in it"
        printf '%s\\n' "$UPGRADES"; [ "$STATUS" = 0 ] || cannot "apt-get -s upgrade failed";;
    dnf) dnf -q -C updateinfo list --updates "$@" 2>&1 || cannot "dnf has no lists: run dnf makecache in it";;
    apk) [ -n "$1" ] && cannot "apk does not show which updates are for security"; apk version -l '<' | sed 1d;;
    *) cannot "the guest has none of apt, dnf and apk";;
    esac
}
if [ "$MANAGER" = apt ] && lists; then
    UPGRADES=$(apt-get -s -q -o Debug::NoLocking=true dist-upgrade 2>&1); STATUS=$?
    [ "$STATUS" = 0 ] && UPGRADES=$(printf '%s\\n' "$UPGRADES" | grep '^Inst .*\\[')
fi
"""
# When the makers' free support, or long-term support by volunteers, ends. A release before the first of its
# distribution here has ended long ago; one that is not here is unknown. After a year what is here proves nothing.
ENDS_AS_OF = date(2026, 11, 28)
_GOOD_FOR_DAYS = 365
_ENDS = {
    "debian 7": "2018-05-31",
    "debian 8": "2020-06-30",
    "debian 9": "2022-06-30",
    "debian 10": "2024-06-30",
    "debian 11": "2026-08-31",
    "debian 12": "2028-06-30",
    "debian 13": "2030-06-30",
    "ubuntu 14.04": "2019-04-30",
    "ubuntu 16.04": "2021-04-30",
    "ubuntu 18.04": "2023-05-31",
    "ubuntu 20.04": "2025-05-31",
    "ubuntu 22.04": "2027-06-01",
    "ubuntu 24.04": "2029-05-31",
    "fedora 40": "2025-05-13",
    "fedora 41": "2025-12-15",
    "fedora 42": "2026-05-13",
    "centos 6": "2020-11-30",
    "centos 7": "2024-06-30",
    "centos 8": "2024-05-31",
    "centos 9": "2027-05-31",
    "rhel 6": "2020-11-30",
    "rhel 7": "2024-06-30",
    "rhel 8": "2029-05-31",
    "rhel 9": "2032-05-31",
    "rocky 8": "2029-05-31",
    "rocky 9": "2032-05-31",
    "almalinux 8": "2029-03-01",
    "almalinux 9": "2032-05-31",
    "alpine 3.18": "2025-05-09",
    "alpine 3.19": "2025-11-01",
    "alpine 3.20": "2026-04-01",
    "alpine 3.21": "2026-11-01",
    "alpine 3.22": "2027-05-01",
}
_INSTALL = re.compile(r"Inst (\S+) \[(\S+)\] \((\S+) (.*)\)")


def _security_updates(text: str) -> list[str]:
    """Of apt those whose origin is a security archive; dnf was asked for no others."""
    lines = offenders(text)
    return [_told(line) for line in lines if not line.startswith("Inst ") or "security" in line.lower()]


def _updates(text: str) -> list[str]:
    return [_told(line) for line in offenders(text)]


def _told(line: str) -> str:
    match = _INSTALL.match(line)
    return f"{match[1]} {match[2]} → {match[3]}" if match else line


def supported(text: str, today: date | None = None) -> list[str]:
    """From /etc/os-release: nothing while the release is supported."""
    values = dict(line.partition("=")[::2] for line in text.splitlines())
    name, version = (values.get(key, "").strip("\"'") for key in ("ID", "VERSION_ID"))
    now, parts = today or datetime.now(UTC).date(), version.split(".")
    for known in (f"{name} {version}", f"{name} {'.'.join(parts[:2])}", f"{name} {parts[0]}"):
        if known in _ENDS:
            if date.fromisoformat(_ENDS[known]) < now:
                return [f"{known} has had no security updates since {_ENDS[known]}"]
            if (now - ENDS_AS_OF).days > _GOOD_FOR_DAYS:
                raise CannotJudge(f"the table of support dates is of {ENDS_AS_OF}, too old to trust: update Corral")
            return []
    first = min((known for known in _ENDS if known.startswith(f"{name} ")), key=_release, default="")
    if first and version and _release(f"{name} {version}") < _release(first):
        return [
            f"{name} {version} has had no security updates for a long time: {first} has had none since {_ENDS[first]}"
        ]
    raise CannotJudge(f"the end of support of '{name} {version}' is not known here, as of {ENDS_AS_OF}")


def _release(known: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", known.partition(" ")[2])]


def _newer_kernel(text: str) -> list[str]:
    """From lines of "running RELEASE" and "installed RELEASE": nothing if the newest runs."""
    lines = [line.split() for line in offenders(text)]
    running = [line[1] for line in lines if line[0] == "running"]
    installed = sorted((line[1] for line in lines if line[0] == "installed"), key=_version)
    if not running or not installed:
        raise CannotJudge("no kernel is installed in the guest")
    newest = installed[-1]
    return [f"{newest} is installed, {running[0]} runs"] if _version(newest) > _version(running[0]) else []


def _version(release: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.findall(r"\d+|[a-z]+", release)]


def _stale(text: str) -> list[str]:
    days = text.strip()
    if not days.isdigit():
        raise CannotJudge("the age of the package lists is unknown")
    return [f"the package lists are {days} days old"] if int(days) > 7 else []


FAMILY = Family(
    name="packages",
    category="vulnerability",
    prepare=_PREPARE,
    seconds=150,
    checks=(
        ScanCheck(
            "packages-security-updates",
            "Security updates that are not installed",
            "high",
            "upgrades --security",
            _security_updates,
            "apt-get upgrade, or dnf upgrade --security",
            PATCHING,
        ),
        ScanCheck(
            "packages-updates",
            "Updates that are not installed",
            "low",
            "upgrades",
            _updates,
            "apt-get dist-upgrade, dnf upgrade or apk upgrade",
            PATCHING,
        ),
        ScanCheck(
            "packages-lists",
            "The package lists are older than a week",
            "medium",
            "[ \"$MANAGER\" = apt ] || cannot 'the guest does not use apt'\n"
            "lists || cannot 'the guest has no package lists: run apt-get update in it'\n"
            "newest=$(ls -t /var/lib/apt/lists/*_Packages* /var/cache/apt/pkgcache.bin 2>/dev/null | head -n 1)\n"
            'echo $(( ($(date +%s) - $(stat -c %Y "$newest")) / 86400 ))',
            _stale,
            "Run apt-get update, and have it run daily",
            PATCHING,
        ),
        ScanCheck(
            "packages-release",
            "The distribution's release is no longer supported",
            "high",
            "[ -r /etc/os-release ] || cannot 'there is no /etc/os-release'\ncat /etc/os-release",
            supported,
            "Upgrade to a release that gets security updates",
            PATCHING,
        ),
        ScanCheck(
            "packages-kernel",
            "The running kernel is older than the installed one",
            "medium",
            "echo running $(uname -r)\nfor each in /lib/modules/*/kernel; do\n"
            '    [ -d "$each" ] && each=${each%/kernel} && echo "installed ${each##*/}"; done; true',
            _newer_kernel,
            "Restart the machine",
            PATCHING,
        ),
        ScanCheck(
            "packages-restart",
            "An update needs a restart",
            "medium",
            "[ -e /run/reboot-required ] || exit 0\n"
            "echo 'a restart is required'; cat /run/reboot-required.pkgs 2>/dev/null; true",
            offenders,
            "Restart the machine",
            PATCHING,
        ),
        ScanCheck(
            "packages-replaced-programs",
            "Running programs were replaced or removed on disk",
            "medium",
            "ls -l /proc/[0-9]*/exe 2>/dev/null | sed -n '/memfd:/d; s/.*-> \\(.*\\) (deleted)$/\\1/p' | sort -u",
            offenders,
            "Restart the programs",
            PATCHING,
        ),
        ScanCheck(
            "packages-broken",
            "Packages are only partly installed",
            "low",
            "[ \"$MANAGER\" = apt ] || cannot 'the guest does not use dpkg'\n/usr/bin/dpkg --audit; true",
            offenders,
            "dpkg --configure -a, and apt-get --fix-broken install",
            SOFTWARE,
        ),
        ScanCheck(
            "packages-signatures",
            "Packages are accepted without valid signatures",
            "high",
            'case "$MANAGER" in\n'
            "apt) grep -rhiE '^[^#]*(trusted=yes|allow-insecure=yes|^ *trusted: *yes)' /etc/apt/sources.list"
            " /etc/apt/sources.list.d 2>/dev/null\n"
            "    grep -rhiE '^[^/#]*AllowUnauthenticated.*(true|1|yes)' /etc/apt/apt.conf /etc/apt/apt.conf.d"
            " 2>/dev/null;;\n"
            "dnf) grep -rhE '^gpgcheck *= *(0|no|false)' /etc/dnf/dnf.conf /etc/yum.repos.d 2>/dev/null;;\n"
            "*) cannot 'the guest has neither apt nor dnf';;\nesac; true",
            offenders,
            "Remove trusted=yes, AllowUnauthenticated and gpgcheck=0",
            SOFTWARE,
        ),
    ),
)

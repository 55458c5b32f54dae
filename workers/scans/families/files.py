"""Checks of files: their owners and permissions. One walk through the file system serves several checks."""

from __future__ import annotations

from collections.abc import Callable

from workers.scans.check import CannotJudge, Family, Judge, ScanCheck, offenders
from workers.scans.controls import FILE_ACCESS, PRIVILEGE

_WALK_SECONDS = 90
_PREPARE = f"""
walk() {{
    timeout {_WALK_SECONDS} find / -xdev \\( -path /proc -o -path /sys -o -path /dev -o -path /run \\) -prune -o \\( \\
        -type f -perm -0002 -printf 'file %p\\n' , -type d -perm -0002 ! -perm -1000 -printf 'folder %p\\n' , \\
        \\( -nouser -o -nogroup \\) -printf 'unowned %p\\n' , \\
        -type f \\( -perm -4000 -o -perm -2000 \\) -printf 'privileged %p\\n' \\) 2>/dev/null
}}
WALKED=$(walk); WALK=$?
GNU=$(find --version 2>/dev/null | grep GNU)
walked() {{
    [ "$WALK" -lt 124 ] || cannot "the file system could not be searched within {_WALK_SECONDS} s (exit $WALK)"
    [ -n "$GNU" ] || cannot "find is not GNU's"
    printf '%s\\n' "$WALKED" | sed -n "s/^$1 //p" | head -n 200
}}
modes() {{
    for name in "$@"; do [ -e "$name" ] && set -- "$@" "$name"; shift; done
    [ $# -gt 0 ] || cannot "none of them exists"
    stat -L -c '%a %U %n' -- "$@"
}}
"""
# What Debian, Ubuntu, Fedora and Alpine ship with these bits.
_PRIVILEGED = frozenset(
    {
        *("at", "bwrap", "chage", "chfn", "chsh", "crontab", "dbus-daemon-launch-helper", "doas", "dotlockfile"),
        *("expiry", "fusermount", "fusermount3", "gpasswd", "grub2-set-bootflag", "mlocate", "mount", "mount.nfs"),
        *("newgidmap", "newgrp", "newuidmap", "ntfs-3g", "pam_timestamp_check", "passwd", "ping", "ping6", "pkexec"),
        *("plocate", "polkit-agent-helper-1", "postdrop", "postqueue", "snap-confine", "ssh-agent", "ssh-keysign"),
        *("su", "sudo", "umount", "unix_chkpwd", "unix2_chkpwd", "utempter", "wall", "write", "write.ul", "Xorg.wrap"),
        *("pppd", "camel-lock-helper-1.2", "vmware-user-suid-wrapper", "staprun", "userhelper", "bbsuid"),
    }
)


def _at_most(mode: int, *, root: bool = True) -> Judge:
    """From lines of octal mode, owner, path: no bit beyond `mode`, and root's own."""

    def judge(text: str) -> list[str]:
        found = []
        for line in offenders(text):
            bits, owner, path = (*line.split(" ", 2), "", "")[:3]
            if not path or not bits.isdigit():
                raise CannotJudge(f"stat said: {line[:200]}")
            if int(bits, 8) & ~mode or (root and owner != "root"):
                found.append(f"{path} is {bits} and {owner}'s")
        return found

    return judge


def _unexpected(text: str) -> list[str]:
    return [path for path in offenders(text) if path.rpartition("/")[2] not in _PRIVILEGED]


def _modes(
    id_: str, severity: str, title: str, paths: str, judge: Callable[[str], list[str]], advice: str
) -> ScanCheck:
    return ScanCheck(f"files-{id_}", title, severity, f"modes {paths}", judge, advice, FILE_ACCESS)


FAMILY = Family(
    name="files",
    category="configuration",
    prepare=_PREPARE,
    seconds=150,
    checks=(
        _modes(
            "shadow",
            "critical",
            "Users other than root may read password hashes",
            "/etc/shadow /etc/gshadow /etc/shadow- /etc/gshadow-",
            _at_most(0o640),
            "chown root:shadow /etc/shadow /etc/gshadow; chmod 640 /etc/shadow /etc/gshadow",
        ),
        _modes(
            "passwd",
            "high",
            "Users other than root may change accounts",
            "/etc/passwd /etc/group /etc/passwd- /etc/group-",
            _at_most(0o644),
            "chown root:root /etc/passwd /etc/group; chmod 644 /etc/passwd /etc/group",
        ),
        _modes(
            "sudoers",
            "high",
            "Users other than root may change sudo's rules",
            "/etc/sudoers /etc/sudoers.d/*",
            _at_most(0o440),
            "chmod 440 /etc/sudoers /etc/sudoers.d/*",
        ),
        _modes(
            "ssh-config",
            "medium",
            "Users other than root may change SSH's configuration",
            "/etc/ssh/sshd_config /etc/ssh/sshd_config.d/*",
            _at_most(0o644),
            "chmod 600 /etc/ssh/sshd_config",
        ),
        _modes(
            "ssh-host-keys",
            "high",
            "Users other than root may read the host's SSH keys",
            "/etc/ssh/ssh_host_*_key",
            _at_most(0o640),
            "chmod 600 /etc/ssh/ssh_host_*_key",
        ),
        _modes(
            "cron",
            "medium",
            "Users other than root may change cron's jobs",
            "/etc/crontab /etc/cron.d /etc/cron.hourly /etc/cron.daily /etc/cron.weekly /etc/cron.monthly",
            _at_most(0o755),
            "chown root:root and chmod go-w on /etc/crontab and /etc/cron.*",
        ),
        _modes(
            "homes",
            "low",
            "Home folders are open to everyone",
            "/root /home/*",
            _at_most(0o750, root=False),
            "chmod 750 on the folders",
        ),
        ScanCheck(
            "files-world-writable",
            "World-writable files",
            "high",
            "walked file",
            offenders,
            "chmod o-w on the files",
            FILE_ACCESS,
        ),
        ScanCheck(
            "files-no-sticky-bit",
            "World-writable folders without the sticky bit",
            "high",
            "walked folder",
            offenders,
            "chmod +t on the folders",
            FILE_ACCESS,
        ),
        ScanCheck(
            "files-unowned",
            "Files without an owner or a group",
            "medium",
            "walked unowned",
            offenders,
            "chown the files to an account that exists, or remove them",
            FILE_ACCESS,
        ),
        ScanCheck(
            "files-privileged",
            "Unusual setuid or setgid programs",
            "medium",
            "walked privileged",
            _unexpected,
            "chmod u-s,g-s on the programs unless you know why they need it",
            PRIVILEGE,
        ),
    ),
)

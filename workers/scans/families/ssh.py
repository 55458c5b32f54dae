"""Checks of the SSH server, by its settings in force: `sshd -T`."""

from __future__ import annotations

from collections.abc import Callable

from workers.scans.check import CannotJudge, Controls, Family, Judge, ScanCheck
from workers.scans.controls import AUTHENTICATION, CRYPTOGRAPHY, REMOTE_ACCESS

# sshd -T wants its folder, which a server that is started by a socket has only while it runs.
_PREPARE = """
SSHD=$(command -v sshd)
if [ -n "$SSHD" ]; then
    mkdir -m 755 /run/sshd 2>/dev/null && MADE=1
    SETTINGS=$("$SSHD" -T 2>&1)
    [ -z "$MADE" ] || rmdir /run/sshd
fi
setting() {
    [ -n "$SSHD" ] || cannot "sshd is not installed"
    while read -r name value; do [ "$name" = "$1" ] && echo "$name $value" && return; done <<END
$SETTINGS
END
    cannot "sshd -T does not show $1: $SETTINGS"
}
"""
_WEAK_CIPHERS = ("3des", "arcfour", "blowfish", "cast128", "-cbc", "rijndael")
_WEAK_MACS = ("md5", "sha1", "umac-64", "ripemd", "-96")
_WEAK_EXCHANGES = ("group1-sha1", "group14-sha1", "group-exchange-sha1")


def _value(text: str) -> str:
    name, _, value = text.strip().partition(" ")
    if not value:
        raise CannotJudge(f"sshd -T does not show {name or 'it'}")
    return value.lower()


def _not_in(*bad: str) -> Judge:
    return lambda text: [text.strip()] if _value(text) in bad else []


def _number(is_good: Callable[[int], bool]) -> Judge:
    def judge(text: str) -> list[str]:
        value = _value(text)
        if not value.isdigit():
            raise CannotJudge(f"sshd -T says {text.strip()!r}, which is not a number")
        return [] if is_good(int(value)) else [text.strip()]

    return judge


def _without(*weak: str) -> Judge:
    return lambda text: [name for name in _value(text).split(",") if any(part in name for part in weak)]


def _check(
    name: str, severity: str, title: str, judge: Judge, advice: str, controls: Controls = REMOTE_ACCESS
) -> ScanCheck:
    return ScanCheck(f"ssh-{name}", title, severity, f"setting {name}", judge, advice, controls)


FAMILY = Family(
    name="ssh",
    category="configuration",
    prepare=_PREPARE,
    checks=(
        _check(
            "permitrootlogin",
            "high",
            "SSH root login enabled",
            _not_in("yes"),
            "Disable root SSH access: PermitRootLogin no (or prohibit-password) in /etc/ssh/sshd_config",
        ),
        _check(
            "passwordauthentication",
            "medium",
            "SSH accepts passwords",
            _not_in("yes"),
            "Set PasswordAuthentication no, and give users keys",
            AUTHENTICATION,
        ),
        _check(
            "permitemptypasswords",
            "critical",
            "SSH accepts empty passwords",
            _not_in("yes"),
            "Set PermitEmptyPasswords no",
            AUTHENTICATION,
        ),
        _check(
            "hostbasedauthentication",
            "high",
            "SSH trusts hosts instead of users",
            _not_in("yes"),
            "Set HostbasedAuthentication no",
            AUTHENTICATION,
        ),
        _check("ignorerhosts", "medium", "SSH follows .rhosts files", _not_in("no"), "Set IgnoreRhosts yes"),
        _check(
            "permituserenvironment",
            "medium",
            "SSH reads environments from users' files",
            _not_in("yes"),
            "Set PermitUserEnvironment no",
        ),
        _check("x11forwarding", "low", "SSH forwards X11", _not_in("yes"), "Set X11Forwarding no"),
        _check(
            "maxauthtries",
            "low",
            "SSH allows more than four tries per connection",
            _number(lambda tries: tries <= 4),
            "Set MaxAuthTries 4",
            AUTHENTICATION,
        ),
        _check(
            "logingracetime",
            "low",
            "SSH allows more than a minute to log in",
            _number(lambda seconds: 0 < seconds <= 60),
            "Set LoginGraceTime 60",
        ),
        _check(
            "clientaliveinterval",
            "low",
            "SSH keeps sessions of lost clients",
            _number(lambda seconds: 0 < seconds <= 900),
            "Set ClientAliveInterval 300",
        ),
        _check(
            "ciphers",
            "high",
            "SSH offers weak ciphers",
            _without(*_WEAK_CIPHERS),
            "Leave CBC modes, 3DES, RC4 and Blowfish out of Ciphers",
            CRYPTOGRAPHY,
        ),
        _check(
            "macs",
            "medium",
            "SSH offers weak message digests",
            _without(*_WEAK_MACS),
            "Leave MD5, SHA-1 and 64-bit digests out of MACs",
            CRYPTOGRAPHY,
        ),
        _check(
            "kexalgorithms",
            "medium",
            "SSH offers weak key exchanges",
            _without(*_WEAK_EXCHANGES),
            "Leave the SHA-1 exchanges out of KexAlgorithms",
            CRYPTOGRAPHY,
        ),
    ),
)

"""Checks of services: which listen on the network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from workers.scans.check import Family, Judge, ScanCheck
from workers.scans.controls import CRYPTOGRAPHY, NETWORK

_PREPARE = """
LISTENING=$(ss -Hltunp 2>/dev/null) || NO_SS=1
listening() {
    [ -z "$NO_SS" ] || cannot "ss is not installed (package iproute2)"
    printf '%s\\n' "$LISTENING"
}
"""
_CLEAR_TEXT = {21: "FTP", 23: "telnet", 69: "TFTP", 512: "rexec", 513: "rlogin", 514: "rsh"}
_DATABASES = {
    1433: "SQL Server",
    2379: "etcd",
    3306: "MySQL",
    5432: "PostgreSQL",
    6379: "Redis",
    9200: "Elasticsearch",
    11211: "memcached",
    27017: "MongoDB",
}
_SHARING = {111: "portmapper", 137: "NetBIOS", 139: "SMB", 445: "SMB", 2049: "NFS"}
_SSH, _DHCP_CLIENT, _DHCP6_CLIENT = 22, 68, 546


@dataclass(frozen=True)
class _Socket:
    protocol: str
    address: str
    port: int
    program: str

    def __str__(self) -> str:
        return f"{self.protocol} {self.address}:{self.port} {self.program}".rstrip()


def _sockets(text: str) -> Iterator[_Socket]:
    """Those that can be reached from outside, from `ss -Hltunp`: protocol, state, queues, local and peer address."""
    for fields in (line.split() for line in text.splitlines()):
        if len(fields) < 6:
            continue
        address, _, port = fields[4].rpartition(":")
        address = address.partition("%")[0].strip("[]")
        if port.isdigit() and not (address.startswith("127.") or address in ("::1", "::ffff:127.0.0.1")):
            yield _Socket(fields[0], address, int(port), fields[6] if len(fields) > 6 else "")


def _none(is_bad: Callable[[_Socket], bool]) -> Judge:
    return lambda text: [str(socket) for socket in _sockets(text) if is_bad(socket)]


def _is_unexpected(socket: _Socket) -> bool:
    if socket.protocol.startswith("udp") and socket.port in (_DHCP_CLIENT, _DHCP6_CLIENT):
        return False
    return socket.port != _SSH


FAMILY = Family(
    name="services",
    category="configuration",
    prepare=_PREPARE,
    checks=(
        ScanCheck(
            "services-clear-text",
            "Services accept passwords in clear text: telnet, FTP, rsh",
            "critical",
            "listening",
            _none(lambda socket: socket.port in _CLEAR_TEXT),
            "Remove telnet, FTP, TFTP and r-command servers; use SSH and SFTP",
            CRYPTOGRAPHY,
        ),
        ScanCheck(
            "services-databases",
            "Databases listen on the network",
            "high",
            "listening",
            _none(lambda socket: socket.port in _DATABASES),
            "Bind databases to 127.0.0.1, or allow only hosts that need them",
            NETWORK,
        ),
        ScanCheck(
            "services-sharing",
            "File sharing listens on the network",
            "medium",
            "listening",
            _none(lambda socket: socket.port in _SHARING),
            "Stop NFS, SMB and the portmapper where they aren't needed",
            NETWORK,
        ),
        ScanCheck(
            "services-listening",
            "Services other than SSH listen beyond loopback",
            "medium",
            "listening",
            _none(_is_unexpected),
            "Stop services that aren't needed, bind them to 127.0.0.1, or allow only hosts that need them",
            NETWORK,
        ),
        ScanCheck(
            "services-legacy-programs",
            "Servers without encryption are installed",
            "medium",
            "for name in in.telnetd telnetd in.rshd in.rlogind ypserv in.tftpd in.talkd vsftpd proftpd; do\n"
            '    command -v "$name"; done; true',
            lambda text: text.split(),
            "Remove their packages",
            CRYPTOGRAPHY,
        ),
    ),
)

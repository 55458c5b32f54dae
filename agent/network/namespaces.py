"""A network namespace for a VM's process, whose only way out is slirp4netns: user-mode networking for any hypervisor.

A driver starts its program by `NamespaceEntry.command`, which waits in a new namespace. The driver then calls
`NamespaceEntry.connect`, which joins slirp4netns to the namespace, applies the rules of `egress` there, and lets the
program continue without privileges. The namespace has neither an address of the host nor a loopback, and
slirp4netns ends with the program. There are two kinds:

- SOCKETS, for a program that has a user-mode network of its own, as QEMU has: it uses sockets, in the namespace.
  Forwards lead to the namespace's address, `SOCKETS.address`, where the program has to listen.
- TAP, for one that needs an interface: `TAP_NAME` is on a bridge with slirp4netns, which gives the guest its
  address by DHCP, `TAP.address`. Forwards lead to the guest.

Ports of the host are opened by `Namespace.forward`, at any time while the program runs.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from agent.network import egress
from agent.network.egress import Egress
from agent.system import process, sockets
from agent.system.users import SystemUser, as_root
from core.contract.errors import DriverFailure
from core.contract.messages import Forward

PACKAGES = "slirp4netns nftables"
FOLDER, SOCKET, LOG, RULES, NAMES = "net", "slirp4netns.sock", "slirp4netns.log", "rules.nft", "resolv.conf"
TUN = Path("/dev/net/tun")
TAP_NAME, SLIRP_NAME, BRIDGE_NAME = "guest0", "tap0", "bridge0"
CONNECT_SECONDS, ASK_SECONDS, GONE_SECONDS = 20.0, 5.0, 5.0
# $1, $2: descriptors, of which one is told our number, and the other says when slirp4netns is there; $3: the folder of
# the files; $4: the shape. What follows is the program, which is not to have any of these.
ENTER = f"""
set -eu
echo $$ >&"$1"
read -r go <&"$2"
[ "$go" = go ]
eval "exec $1>&- $2<&-"
if [ "$4" = tap ]; then
    ip tuntap add dev {TAP_NAME} mode tap
    ip link add {BRIDGE_NAME} type bridge
    for each in {TAP_NAME} {SLIRP_NAME}; do ip link set "$each" master {BRIDGE_NAME} up; done
    ip link set {BRIDGE_NAME} up
elif [ -e /etc/resolv.conf ]; then
    mount --bind "$3/{NAMES}" /etc/resolv.conf
fi
nft -f "$3/{RULES}"
shift 4
exec setpriv --bounding-set=-all --inh-caps=-all --no-new-privs -- "$@"
"""


@dataclass(frozen=True)
class NamespaceAddresses:
    """`subnet` of slirp4netns, where it is `gateway` and has names at `names`; `address`: where forwards lead."""

    name: str
    subnet: str
    gateway: str
    names: str
    address: str


# Apart from the 10.0.2.0/24 that QEMU's own network has.
SOCKETS = NamespaceAddresses("sockets", "10.0.255.0/24", "10.0.255.2", "10.0.255.3", "10.0.255.100")
TAP = NamespaceAddresses("tap", "10.0.2.0/24", "10.0.2.2", "10.0.2.3", "10.0.2.100")


@dataclass
class NamespaceEntry:
    """The way of one program into a namespace of its own. `holding`: the descriptors that it has to inherit."""

    command: list[str]
    holding: tuple[int, ...]
    _home: Path
    _shape: NamespaceAddresses
    _user: SystemUser | None
    _told: int
    _go: int
    _ends: int
    _close: ExitStack = field(default_factory=ExitStack)

    def connect(self, group: Path | None = None) -> Namespace:
        """Joins slirp4netns to the program, once that was started, and lets it go on."""
        deadline = time.monotonic() + CONNECT_SECONDS
        pid = int(self._heard(self._told, deadline, "the program's shell"))
        ready, its = os.pipe()
        self._close.callback(os.close, ready)
        try:
            args = [*(self._user.command() if self._user else []), *self._slirp(its, pid)]
            log = self._home / LOG
            with process.spawn(args, folder=self._home, log=log, holding=(its, self._ends), group=group):
                pass
        finally:
            os.close(its)
        self._heard(ready, deadline, "slirp4netns")
        os.write(self._go, b"go\n")
        return Namespace(self._home.parent)

    def _slirp(self, ready: int, pid: int) -> list[str]:
        configure = ["--configure"] if self._shape is SOCKETS else []
        return [
            *["slirp4netns", f"--ready-fd={ready}", f"--exit-fd={self._ends}", f"--api-socket={SOCKET}", *configure],
            *["--disable-host-loopback", "--enable-sandbox", "--enable-seccomp", f"--cidr={self._shape.subnet}"],
            *[str(pid), SLIRP_NAME],
        ]

    def _heard(self, descriptor: int, deadline: float, who: str) -> bytes:
        """Its word; `DriverFailure` with the end of its log when it has ended, or is too late."""
        if select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))[0]:
            said = os.read(descriptor, 64)
            if said:
                return said
        raise DriverFailure(f"the user-mode network did not start: {who} ended or did not answer{self._tail()}")

    def _tail(self) -> str:
        try:
            said = (self._home / LOG).read_bytes()[-300:].decode(errors="replace").strip()
        except FileNotFoundError:
            return ""
        return f": {said}" if said else ""


@contextmanager
def entering(
    folder: Path, shape: NamespaceAddresses, policy: Egress, user: SystemUser | None, groups: Sequence[int] = ()
) -> Iterator[NamespaceEntry]:
    """For a program that is started, and connected, inside the `with`.

    `folder` is its VM's; `user`, with `groups` beside its own, whom it runs as: None for an agent that is not root.
    """
    if user is None and as_root():
        # In its sandbox it would take mounts away that it shares with the host.
        raise DriverFailure("slirp4netns is never started as root: a VM's user is needed")
    home = folder / FOLDER
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(mode=0o700)
    (home / RULES).write_text(ruleset(shape, policy))
    (home / NAMES).write_text(f"nameserver {shape.names}\n")
    if user is not None:
        for path in (home / RULES, home / NAMES):
            user.own(path)
        user.own(home, 0o700)
        user.may_enter(folder)
        _open_to_all(TUN)
    with ExitStack() as close:
        (told, tells), (hears, go), (ends, lives) = (_pipe(close) for _ in range(3))
        enter = ["unshare", "--user", "--map-root-user", "--net", "--mount", "--"]
        shell = ["bash", "-c", ENTER, "bash", str(tells), str(hears), FOLDER, shape.name]
        command = [*(user.command(*groups) if user else []), *enter, *shell]
        yield NamespaceEntry(command, (tells, hears, lives), home, shape, user, told, go, ends, close)


def _pipe(close: ExitStack) -> tuple[int, int]:
    reading, writing = os.pipe()
    close.callback(os.close, reading)
    close.callback(os.close, writing)
    return reading, writing


def _open_to_all(device: Path) -> None:
    """As udev has it: opening it gives no privilege (tuntap.rst of the kernel)."""
    if device.stat().st_mode & 0o006 != 0o006:
        device.chmod(0o666)


def ruleset(shape: NamespaceAddresses, policy: Egress) -> str:
    """What may leave, as text for nft, with the host's own addresses as they are now."""
    host = [each for each in egress.of_host() if not each.is_loopback]
    closed, names = Egress(policy.allowed, (*policy.denied, *host)), egress.names_from([ip_address(shape.names)])
    if shape is SOCKETS:
        return _table("inet", "output", ["ct direction reply accept", *names, *closed.rules()])
    # Whatever does not come from slirp4netns is a guest's, however many adapters it has. A bridge may know no
    # connections. Who comes by a forward from the host's loopback is the gateway to the guest;
    # what the gateway is sent goes no further.
    passed = [
        f'iifname "{SLIRP_NAME}" accept',
        "ether type arp accept",
        "ether type != ip drop",
        "ip daddr 255.255.255.255 udp dport 67 accept",
        f"ip daddr {shape.gateway} accept",
        *names,
        "ip daddr 127.0.0.0/8 drop",
        "tcp flags & (syn | ack) != syn accept",
    ]
    return _table("bridge", "forward", [*passed, *closed.rules("drop")])


def _table(family: str, hook: str, rules: list[str]) -> str:
    lines = "\n        ".join(rules)
    return (
        f"table {family} corral {{\n    chain out {{\n        type filter hook {hook} priority filter\n"
        f"        {lines}\n    }}\n}}\n"
    )


@dataclass(frozen=True)
class Namespace:
    """The namespace that the VM of a folder was started in."""

    folder: Path

    @property
    def there(self) -> bool:
        """Whether the VM was started in one."""
        return (self.folder / FOLDER / SOCKET).exists()

    def wait_gone(self) -> None:
        """Returns once slirp4netns has ended and its ports are free, which is just after the program's end."""
        deadline = time.monotonic() + GONE_SECONDS
        while time.monotonic() < deadline:
            try:
                sockets.connect(self.folder / FOLDER / SOCKET, GONE_SECONDS).close()
            except OSError:
                return
            time.sleep(0.01)

    def forwards(self) -> dict[Forward, int]:
        """The host's ports that lead in, with slirp4netns' number for each. The guest's port is the namespace's."""
        entries = self._ask("list_hostfwd")["entries"]
        return {Forward(each["proto"], each["host_port"], each["guest_port"]): each["id"] for each in entries}

    def forward(self, address: str, forward: Forward, to: str) -> None:
        """Opens a port of the host's address."""
        self._ask(
            "add_hostfwd",
            proto=forward.protocol,
            host_addr=address,
            host_port=forward.host_port,
            guest_addr=to,
            guest_port=forward.guest_port,
        )

    def close(self, number: int) -> None:
        """Closes one again."""
        self._ask("remove_hostfwd", id=number)

    def _ask(self, command: str, **arguments: Any) -> Any:
        request = {"execute": command, **({"arguments": arguments} if arguments else {})}
        try:
            with sockets.connect(self.folder / FOLDER / SOCKET, ASK_SECONDS) as stream:
                stream.sendall(json.dumps(request).encode())
                stream.shutdown(1)
                said = b"".join(iter(lambda: stream.recv(65536), b""))
            answer = json.loads(said)
        except (OSError, ValueError) as error:
            raise DriverFailure(
                f"the VM's user-mode network does not answer ({error}): stop the VM, and start it again"
            ) from None
        if "error" in answer:
            raise DriverFailure(f"slirp4netns refused '{command}': {answer['error'].get('desc', 'no reason given')}")
        return answer

"""What a real guest of a user-mode network reaches, by each way that its host may have, and what leads to it."""

from __future__ import annotations

import socket
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from agent.drivers.base import DriverFolders
from agent.drivers.capabilities.guest import GuestExecRequest
from agent.drivers.qemu import QemuDriver
from agent.network.egress import Egress
from agent.network.namespaces import SOCKETS
from agent.network.network import HostNetworking
from agent.network.user_mode import UserMode, Way
from core import settings
from core.contract.messages import Forward, ImageRef, VmSpec
from tests.network.conftest import HOST, WORLD, Machine, inside, new_machine
from tests.network.test_traffic import listening, welcomed
from tests.network.test_user_mode import PRIVATE, route_to_the_world
from tests.qemu.test_port_forwards import NETWORK, TCP_GREETER
from tests.support.waiting import until

LONG = 200.0
PORT, LED = 6379, 20080
# One process for all of them, as a guest that is emulated is slow, and a closed port may be a silent one.
TRY = r"""
use Socket qw(:DEFAULT inet_pton pack_sockaddr_in6); use Fcntl;
for (@ARGV) {
    my (undef, $address, $port) = split m{/}; my $six = $address =~ /:/;
    socket(my $s, $six ? PF_INET6 : PF_INET, SOCK_STREAM, 0); fcntl($s, F_SETFL, O_NONBLOCK);
    my $at = $six ? pack_sockaddr_in6($port, inet_pton(AF_INET6, $address)) : sockaddr_in($port, inet_aton($address));
    connect($s, $at);
    push @tried, [$_, $s];
}
for (1 .. 16) {
    select(undef, undef, undef, 0.5);
    for (@tried) { my $said; print "$_->[0]\n" if sysread($_->[1], $said, 7) and $said eq "welcome" }
}
"""
# With a source address of the guest's choice: 127.0.0.1 to what it takes for its gateway's loopback, and a ping of it.
CRAFTED = """
modprobe af_packet 2>/dev/null
ip addr add 127.0.0.2/8 dev {card}; ip addr add 192.0.2.77/32 dev {card}; ip -6 addr add fec0::77/64 dev {card}
ip route replace 127.0.0.0/8 dev {card} table 77; ip rule add to 127.0.0.1 table 77 pref 1
ip route replace 10.0.0.0/8 via 10.0.2.2; ip -6 route replace default via fec0::2
"""


class Fixed(UserMode):
    """A host that has this way and no better one."""

    def __init__(self, way: Way, policy: Egress) -> None:
        super().__init__(policy)
        self._fixed = way

    def _found(self) -> Way:
        return super()._found() if self._fixed is Way.RULES else self._fixed


@dataclass(frozen=True)
class Kept:
    """A guest on a machine, and the way in which it is kept from it."""

    machine: Machine
    way: Way
    run: Callable[[str], str]

    def reached(self, *places: str) -> set[str]:
        """Those of the places, as "tcp/address/port", that welcomed it."""
        return set(self.run(f"perl -e '{TRY}' {' '.join(places)}").split())


@pytest.fixture(scope="module", params=list(Way), ids=lambda way: way.name.lower())
def guest(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    """One for each way that has an address and a route, whether or not it has come to that by itself."""
    way, folder = request.param, tmp_path_factory.mktemp("reach")
    (folder / "resolv.conf").write_text(f"nameserver {PRIVATE}\n")
    with new_machine(folder) as machine:
        route_to_the_world(machine)
        network = HostNetworking(user_mode=Fixed(way, Egress(resolv_conf=folder / "resolv.conf")))
        driver = QemuDriver(DriverFolders(folder / "vms", settings.load().images, network=network))
        image, forwards = ImageRef("linux-default"), [Forward("tcp", LED, 9)]
        vm = VmSpec(str(uuid.uuid4()), "web", "qemu", "linux", 1, 256, 4, image=image, forwards=forwards)

        def run(command: str) -> str:
            return driver.execute(vm, GuestExecRequest(command, 90.0)).stdout.decode()

        driver.create(vm, _silent, LONG)
        try:
            driver.start(vm, _silent, LONG)
            run(f"{NETWORK}; ip route replace default via 10.0.2.2")
            yield Kept(machine, way, run)
        finally:
            driver.delete(vm, LONG)


@pytest.mark.timeout(600)
def test_a_port_of_the_host_leads_to_the_guest(guest: Kept) -> None:
    guest.run(f"setsid perl -e '{TCP_GREETER}' </dev/null >/dev/null 2>&1 &")
    until(lambda: welcomed(guest.machine.host, "127.0.0.1", LED))
    assert not welcomed(guest.machine.world, HOST, LED, 2)


@pytest.mark.timeout(600)
def test_a_guest_reaches_the_world_alone_whatever_it_tries(guest: Kept) -> None:
    machine = guest.machine
    with ExitStack() as servers:
        servers.enter_context(listening(machine.world, 80, seconds=600))
        servers.enter_context(listening(machine.host, PORT, seconds=600))
        with inside(machine.host):
            six = servers.enter_context(socket.create_server(("::1", PORT), family=socket.AF_INET6, backlog=50))
        assert welcomed(machine.host, "127.0.0.1", PORT)
        assert welcomed(machine.host, PRIVATE, 80)
        world = set() if guest.way is Way.CLOSED else {f"tcp/{WORLD}/80"}
        names = ("10.0.2.2", "10.0.2.3", "10.0.2.1", "10.0.2.255", "127.0.0.1", "0.0.0.0", HOST)  # noqa: S104
        more = (SOCKETS.gateway, SOCKETS.names, SOCKETS.address, "169.254.169.254", "255.255.255.255", "224.0.0.1")
        hosts = [f"tcp/{name}/{port}" for name in (*names, *more) for port in (PORT, LED)]
        sixes = [f"tcp/{name}/{PORT}" for name in ("fec0::2", "fec0::3", "::1", "fe80::2", "::ffff:127.0.0.1")]
        assert guest.reached(f"tcp/{WORLD}/80", f"tcp/{PRIVATE}/80", *hosts, *sixes) == world
        guest.run(CRAFTED.format(card="$(ls /sys/class/net | grep -m1 ^e)"))
        assert guest.reached(*hosts, *sixes) == set()
        six.settimeout(0.5)
        with pytest.raises(TimeoutError):
            six.accept()


def _silent(step: str, percent: int | None) -> None:
    """Nobody listens and nobody cancels."""

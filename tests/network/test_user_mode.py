"""What a guest of a user-mode network reaches, by each way that a host has: a process is in the place of its VM."""

from __future__ import annotations

import socket
import subprocess
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest
from pyroute2 import IPRoute

from agent.network.egress import Egress
from agent.network.namespaces import SOCKETS, TAP, Namespace, NamespaceAddresses
from agent.network.user_mode import UserMode, Way
from agent.system import process
from agent.system.users import SystemUser, Users
from core.contract.errors import DriverFailure
from core.contract.messages import Forward
from tests.network.conftest import HOST, WORLD, Machine, inside
from tests.network.test_traffic import listening, welcomed
from tests.support.waiting import until

PRIVATE, MANAGEMENT = "10.9.9.9", "203.0.113.99"
USER = SystemUser(Users().first)
REACH = "timeout 5 bash -c 'exec 3<>/dev/tcp/{}/{} && head -c7 <&3'"
SERVE = (
    "use Socket; socket(S, PF_INET, SOCK_STREAM, 0); bind(S, sockaddr_in(9009, INADDR_ANY)) or die; listen(S, 9);"
    ' accept(C, S); syswrite(C, "welcome"); close(C)'
)


class VmProcess:
    """Runs commands as a VM's process would be, on the host of the test."""

    def __init__(self, network: UserMode, way: Way, folder: Path) -> None:
        self.network, self.way, self.folder = network, way, folder
        USER.may_enter(folder)

    def says(self, command: str, shape: NamespaceAddresses = SOCKETS) -> bytes:
        """What the command puts out."""
        said = self.folder / "said"
        if self.way is Way.RULES:
            with process.spawn([*USER.command(), "sh", "-c", command], folder=self.folder, log=said) as daemon:
                assert daemon.wait(20)
        else:
            with self.network.entering(self.folder, shape, USER) as entry:
                args = [*entry.command, "sh", "-c", command]
                with process.spawn(args, folder=self.folder, log=said, holding=entry.holding) as daemon:
                    entry.connect()
                    assert daemon.wait(20)
        return said.read_bytes()

    def reaches(self, address: str, port: int) -> bool:
        """Whether a server there welcomes it."""
        return self.says(REACH.format(address, port)) == b"welcome"


@pytest.fixture(params=["rules", "namespace", "both"])
def guest(request: pytest.FixtureRequest, machine: Machine, tmp_path: Path) -> VmProcess:
    """By each way. The world has a private network and a management network too, and names in the private one."""
    route_to_the_world(machine)
    names = tmp_path / "resolv.conf"
    names.write_text(f"nameserver {PRIVATE}\n")
    network = UserMode(Egress(denied=(ip_network(f"{MANAGEMENT}/32"),), resolv_conf=names))
    assert network.ready() is Way.RULES
    folder = tmp_path / "vm"
    folder.mkdir()
    if request.param == "rules":
        return VmProcess(network, Way.RULES, folder)
    if request.param == "namespace":  # as an agent that is not root has it: no rules on users
        network = _without_rules(network.policy)
    return VmProcess(network, Way.NAMESPACE, folder)


def test_a_guest_reaches_the_world_and_neither_host_nor_private_networks(machine: Machine, guest: VmProcess) -> None:
    with listening(machine.world, 80):
        assert guest.reaches(WORLD, 80)
        for closed in (PRIVATE, MANAGEMENT):
            assert welcomed(machine.host, closed, 80)
            assert not guest.reaches(closed, 80)
    with listening(machine.host, 6379):
        for own in (HOST, "127.0.0.1"):
            assert welcomed(machine.host, own, 6379)
            assert not guest.reaches(own, 6379)
        for alias in ("127.9.9.9", "0.0.0.0", SOCKETS.gateway, SOCKETS.names):  # noqa: S104  # an address to try
            assert not guest.reaches(alias, 6379)
    with _listening_on_6(machine):
        assert not guest.reaches("::1", 6379)


def test_of_its_server_of_names_a_guest_reaches_names_alone(machine: Machine, guest: VmProcess) -> None:
    server = PRIVATE if guest.way is Way.RULES else SOCKETS.names
    with listening(machine.world, 53), listening(machine.world, 54):
        # In a namespace it is this machine's own one, which is not asked here.
        assert guest.reaches(server, 53) == (guest.way is Way.RULES)
        assert not guest.reaches(server, 54)


def test_what_the_operator_opens_is_open_and_its_host_is_not(machine: Machine, guest: VmProcess) -> None:
    opened = (ip_network("10.9.9.0/24"), ip_network(f"{HOST}/32"), ip_network("127.0.0.0/8"))
    policy = replace(guest.network.policy, allowed=opened)
    guest.network = UserMode(policy) if guest.network.ready() is Way.RULES else _without_rules(policy)
    guest.network.ready()
    with listening(machine.world, 80), listening(machine.host, 6379):
        assert guest.reaches(PRIVATE, 80)
        assert not guest.reaches(HOST, 6379)
        assert not guest.reaches("127.0.0.1", 6379)


def test_rules_that_someone_took_away_are_there_again(machine: Machine, guest: VmProcess) -> None:
    subprocess.run(["nft", "flush ruleset"], check=True, timeout=10)
    network = UserMode()
    assert network.ready() is Way.RULES
    for look in (network.ready, network.found_anew):
        subprocess.run(["nft", "flush ruleset"], check=True, timeout=10)
        assert look() is Way.RULES
        with listening(machine.host, 6379):
            assert not VmProcess(network, Way.RULES, guest.folder).reaches("127.0.0.1", 6379)


def test_a_trial_leaves_the_rules_of_an_agent_as_they_are(machine: Machine) -> None:
    subprocess.run(["nft", "flush ruleset"], check=True, timeout=10)
    assert UserMode(trying=True).found_anew() is Way.RULES
    assert _ruleset() == ""
    assert UserMode(Egress(denied=(ip_network(f"{MANAGEMENT}/32"),))).ready() is Way.RULES
    before = _ruleset()
    assert MANAGEMENT in before
    assert UserMode(trying=True).found_anew() is Way.RULES
    assert _ruleset() == before


def test_a_port_of_the_host_leads_into_a_namespace_until_it_is_closed(machine: Machine, tmp_path: Path) -> None:
    network = UserMode()
    with network.entering(tmp_path, SOCKETS, USER) as entry:
        args = [*entry.command, "perl", "-e", SERVE]
        with process.spawn(args, folder=tmp_path, log=tmp_path / "log", holding=entry.holding) as daemon:
            namespace = entry.connect()
            namespace.forward("127.0.0.1", Forward("tcp", 8080, 9009), SOCKETS.address)
            namespace.forward(HOST, Forward("udp", 8080, 7), SOCKETS.address)
            forwards = Namespace(tmp_path).forwards()  # as an agent finds them that was started anew
            assert set(forwards) == {Forward("tcp", 8080, 9009), Forward("udp", 8080, 7)}
            namespace.close(forwards[Forward("udp", 8080, 7)])
            assert set(namespace.forwards()) == {Forward("tcp", 8080, 9009)}
            until(lambda: welcomed(machine.host, "127.0.0.1", 8080))
            assert daemon.wait(10)
    until(lambda: _refused(namespace))  # slirp4netns has ended with the program


def test_an_interface_is_on_a_bridge_with_slirp4netns(machine: Machine, tmp_path: Path) -> None:
    said = VmProcess(UserMode(), Way.NAMESPACE, tmp_path).says(
        "ip -o link show master bridge0; grep CapEff /proc/self/status", TAP
    )
    assert b"guest0" in said
    assert b"tap0" in said
    assert b"CapEff:\t0000000000000000" in said


def test_where_neither_way_can_be_had_guests_reach_nothing_and_the_host_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # nothing is installed
    network = UserMode()
    assert network.ready() is Way.CLOSED
    assert "apt-get install slirp4netns nftables" in network.problem
    monkeypatch.undo()
    assert network.ready() is Way.CLOSED
    assert network.found_anew() is not Way.CLOSED
    assert network.problem == ""


def _ruleset() -> str:
    return subprocess.run(["nft", "list ruleset"], check=True, capture_output=True, text=True, timeout=10).stdout


def _without_rules(policy: Egress) -> UserMode:
    subprocess.run(["nft", "flush ruleset"], check=True, timeout=10)
    network = UserMode(policy)
    network._way = Way.NAMESPACE  # found out by an agent that is not root, as python can't be here
    return network


def route_to_the_world(machine: Machine) -> None:
    """The world has a private network and a management network too, and is the way to all that is not near."""
    with inside(machine.world), IPRoute() as kernel:
        (index,) = kernel.link_lookup(ifname="downlink")
        for address in (PRIVATE, MANAGEMENT):
            kernel.addr("add", index=index, address=address, prefixlen=24)
    with IPRoute() as kernel:
        (index,) = kernel.link_lookup(ifname="uplink")
        kernel.route("add", dst="default", gateway=WORLD, oif=index)


def _listening_on_6(machine: Machine) -> socket.socket:
    with inside(machine.host):
        return socket.create_server(("::1", 6379), family=socket.AF_INET6)


def _refused(namespace: Namespace) -> bool:
    try:
        namespace.forwards()
    except DriverFailure:
        return True
    return False

"""What processes of a control group may reach, which VirtualBox's VMs are held to; others are free."""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path

import psutil
import pytest

from agent.network.egress import Egress
from agent.network.group_rules import GROUP, GroupRules
from agent.system import cgroups
from core.contract.errors import Unsupported
from tests.network.conftest import HOST, WORLD, Machine
from tests.network.test_traffic import listening, welcomed
from tests.network.test_user_mode import MANAGEMENT, PRIVATE, REACH, route_to_the_world

OWN_PORT = 8090
SERVE = (
    "use Socket; socket(S, PF_INET, SOCK_STREAM, 0); setsockopt(S, SOL_SOCKET, SO_REUSEADDR, 1);"
    " bind(S, sockaddr_in(8090, INADDR_ANY)) or die; listen(S, 9); print STDERR qq(ready\n);"
    ' while (accept(C, S)) { syswrite(C, "welcome"); close(C) }'
)


@dataclass
class Held:
    """The rules of a group, and what a process that is in it can do."""

    rules: GroupRules
    group: Path

    def begins(self, *command: str) -> subprocess.Popen[bytes]:
        """A shell that is put into the group by its number, as VirtualBox's server is, and then begins that."""
        shell = subprocess.Popen(["sh", "-c", 'read -r _; "$@"', "sh", *command], stdin=-1, stdout=-1, stderr=-1)
        self.rules.hold(self.group, psutil.Process(shell.pid))
        assert shell.stdin is not None
        shell.stdin.write(b"go\n")
        shell.stdin.flush()
        return shell

    def reaches(self, address: str, port: int) -> bool:
        """Whether a server there welcomes a process that one of the group begins."""
        with self.begins("bash", "-c", REACH.format(address, port)) as shell:
            return shell.communicate(timeout=20)[0] == b"welcome"


@pytest.fixture
def held(machine: Machine, tmp_path: Path) -> Iterator[Held]:
    """A group of the test's own; nothing of it is left."""
    route_to_the_world(machine)
    names = tmp_path / "resolv.conf"
    names.write_text(f"nameserver {PRIVATE}\n")
    home = _home()
    rules = GroupRules(Egress(denied=(ip_network(f"{MANAGEMENT}/32"),), resolv_conf=names), home)
    try:
        group = rules.ready(prove=True)
        assert (group, rules.problem) == (home / GROUP, "")
        yield Held(rules, home / GROUP)
    finally:
        for each in (home / GROUP, home):
            each.rmdir()


def _home() -> Path:
    try:
        return cgroups.own() / f"corral-{secrets.token_hex(4)}"
    except Unsupported as error:
        pytest.skip(error.message)


def test_what_is_held_reaches_the_world_and_neither_host_nor_private_networks(machine: Machine, held: Held) -> None:
    with listening(machine.world, 80), listening(machine.host, 6379):
        assert held.reaches(WORLD, 80)
        for closed, port in ((PRIVATE, 80), (MANAGEMENT, 80), (HOST, 6379), ("127.0.0.1", 6379)):
            assert welcomed(machine.host, closed, port)
            assert not held.reaches(closed, port)
    with listening(machine.world, 53):
        assert held.reaches(PRIVATE, 53)  # the host's server of names


def test_who_comes_to_a_port_of_what_is_held_is_answered(machine: Machine, held: Held) -> None:
    """As forwards of VirtualBox's are: its processes listen."""
    with held.begins("perl", "-e", SERVE) as server:
        assert server.stderr is not None
        assert server.stderr.readline() == b"ready\n"
        for address in (HOST, "127.0.0.1"):
            assert welcomed(machine.host, address, OWN_PORT)
        assert welcomed(machine.world, HOST, OWN_PORT)
        for process in psutil.Process(server.pid).children(recursive=True):
            process.kill()


def test_rules_that_someone_took_away_are_there_again(machine: Machine, held: Held) -> None:
    subprocess.run(["nft", "flush ruleset"], check=True, timeout=10)
    with listening(machine.host, 6379):
        assert held.reaches("127.0.0.1", 6379)
        assert held.rules.ready() == held.group
        assert not held.reaches("127.0.0.1", 6379)


def test_rules_that_do_not_hold_are_a_problem(
    machine: Machine, held: Held, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    subprocess.run(["nft", "flush ruleset"], check=True, timeout=10)
    monkeypatch.setattr("agent.network.group_rules.rules_of", lambda *_: "table inet nothing {}")
    assert held.rules.ready(prove=True) is None
    assert "have no effect here" in held.rules.problem
    monkeypatch.setenv("PATH", str(tmp_path))  # nothing is installed
    assert held.rules.ready() is None
    assert "run the agent as root, with nftables" in held.rules.problem


def test_a_trial_lays_nothing(machine: Machine, held: Held) -> None:
    subprocess.run(["nft", "flush ruleset"], check=True, timeout=10)
    assert GroupRules(home=held.group.parent, trying=True).ready(prove=True) == held.group
    told = subprocess.run(["nft", "list ruleset"], check=True, capture_output=True, text=True, timeout=10)
    assert told.stdout == ""

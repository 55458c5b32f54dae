"""A bridge is made, found again, mended and taken away, and leaves nothing."""

from __future__ import annotations

import argparse
import os
import secrets
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from agent.network import dhcp, firewall
from agent.network import options as network
from core.contract.messages import Forward
from core.contract.networks import tap_of
from tests.network.conftest import BRIDGE, Machine, inside, links, spec
from tests.support.waiting import until


def rules() -> str:
    """All the kernel's rules here."""
    return subprocess.run(["nft", "list", "ruleset"], check=True, capture_output=True, text=True, timeout=10).stdout


def test_made_twice_it_is_the_same_and_removed_it_leaves_nothing(machine: Machine) -> None:
    bridged = machine.bridged()
    bridged.set_up([])
    before, pid = rules(), dhcp.alive(machine.runtime)
    assert links()["chbr0"].get("state") == "up"
    assert pid is not None
    machine.bridged().set_up([])
    assert (rules(), dhcp.alive(machine.runtime)) == (before, pid)
    for _ in range(2):
        bridged.remove()
        assert "chbr0" not in links()
        assert rules() == ""
        assert dhcp.alive(machine.runtime) is None


def test_a_vm_that_leaves_takes_all_of_its_own_along(machine: Machine) -> None:
    bridged = machine.bridged()
    bridged.set_up([])
    empty = rules()
    vm = spec(Forward("tcp", 8080, 80))
    for _ in range(2):
        assert bridged.join(vm) == tap_of(vm.id)
    assert links()[tap_of(vm.id)].get("master") == links()["chbr0"]["index"]
    assert "8080" in rules()
    for _ in range(2):
        bridged.leave(vm.id)
        assert tap_of(vm.id) not in links()
        assert rules() == empty


def test_its_gateway_has_one_mac_address_whoever_comes_and_goes(machine: Machine) -> None:
    """Guests remember it: they would not reach the world for as long."""
    bridged = machine.bridged()
    bridged.set_up([])
    vms = [
        spec(vm_id=f"vm-{number}", address=f"192.168.200.{number}", mac=f"52:54:00:00:00:{number}")
        for number in range(10, 15)
    ]
    seen = {links()["chbr0"].get("address")}
    for change in (bridged.join, lambda vm: bridged.leave(vm.id)):
        for vm in vms:
            change(vm)
            seen.add(links()["chbr0"].get("address"))
    assert seen == {"52:54:c0:a8:c8:01"}


def test_whatever_was_lost_is_there_again(machine: Machine) -> None:
    vm, gone = spec(Forward("tcp", 8080, 80)), spec(vm_id="vm-gone", address="192.168.200.101", mac="52:54:00:00:00:02")
    bridged = machine.bridged()
    bridged.set_up([])
    for each in (vm, gone):
        bridged.join(each)
    bridged.leave(gone.id)
    wanted = rules()
    bridged.join(gone)
    pid = dhcp.alive(machine.runtime)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    until(lambda: dhcp.alive(machine.runtime) is None)
    for line in (f"delete table inet {firewall.table(BRIDGE)}", f"delete table bridge {firewall.table(BRIDGE)}"):
        subprocess.run(["nft", line], check=True, timeout=10)
    subprocess.run(["ip", "link", "del", tap_of(vm.id)], check=True, timeout=10)
    machine.bridged().set_up([vm.id])  # as an agent does that starts again, and finds that VM alone
    assert rules() == wanted
    assert tap_of(vm.id) in links()
    assert tap_of(gone.id) not in links()
    assert dhcp.alive(machine.runtime) not in (None, pid)
    subprocess.run(["ip", "link", "del", "chbr0"], check=True, timeout=10)
    machine.bridged().set_up([vm.id])
    assert links()[tap_of(vm.id)].get("master") == links()["chbr0"]["index"]


def agent(machine: Machine, home: Path, bridge: str, *options: str) -> subprocess.Popen[str]:
    """A real agent in the host's namespace. There is no Redis, which it can wait for."""
    command = [sys.executable, "-m", "agent", "--name=host-a", "--hypervisor=fake", f"--bridge={bridge}", *options]
    environment = {**os.environ, "CORRAL_HOME": str(home), "REDIS_URL": "redis://127.0.0.1:1/0"}
    with inside(machine.host):
        return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def ended(process: subprocess.Popen[str], number: int | None = None) -> tuple[int, str]:
    """The exit code, and what it said."""
    if number is not None:
        process.send_signal(number)
    said = process.communicate(timeout=30)[1]
    return process.returncode, said


def test_an_agent_makes_it_survives_kill_9_and_takes_it_away_when_told(machine: Machine, tmp_path: Path) -> None:
    name = f"t{secrets.token_hex(4)}"  # /run/corral is everyone's
    first = agent(machine, tmp_path, name)
    try:
        until((tmp_path / "hosts/host-a/journal.sqlite").exists)
        assert name in links()
        code, said = ended(agent(machine, tmp_path / "other", name))
        assert (code, "another agent of this machine uses the bridge" in said) == (1, True)
    finally:
        ended(first, signal.SIGKILL)
    again = agent(machine, tmp_path, name, "--subnet=192.168.7.0/24")
    try:
        until(lambda: "192.168.7.0/24" in rules())
    finally:
        ended(again, signal.SIGKILL)
    assert name in links()
    assert ended(agent(machine, tmp_path, name, "--remove-network"))[0] == 0
    assert name not in links()
    assert rules() == ""
    assert not Path("/run/corral", name).exists()
    with suppress(OSError):
        Path("/run/corral").rmdir()  # unless someone else has a bridge


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--bridge=Eth 0"], "lower-case"),
        (["--bridge=br0", "--subnet=10.0.0.1/8"], "not a subnet"),
        (["--bridge=br0", "--subnet=10.0.0.0/8"], "must be /16 to /29"),
        (["--bridge=br0", "--dhcp-range=10.0.0.1-10.0.0.2"], "must be within"),
        (["--bridge=br0", "--dhcp-range=x-y"], "not an IPv4 address"),
        (["--forward-ports=80-90"], "from 1024 on"),
        (["--forward-address=::1"], "not an IPv4 address"),
        (["--remove-network"], "needs --bridge"),
    ],
)
def test_options_that_can_not_be_are_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], options: list[str], says: str
) -> None:
    parser = argparse.ArgumentParser()
    network.add(parser)
    with pytest.raises(SystemExit) as refused:
        network.of(parser.parse_args(options), tmp_path)
    assert says in f"{refused.value} {capfd.readouterr().err}"

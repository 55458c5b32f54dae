"""VMs that move between the hosts of a fleet, by the command line, with a real agent on each."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from corral import Client, Conflict
from tests.clients.conftest import Run
from tests.support.waiting import until


@pytest.fixture
def vm(client: Client) -> Iterator[str]:
    """A stopped VM on host-a."""
    client.vms.create("mover", hypervisor="fake", host="host-a")
    yield "mover"
    client.vms.delete("mover")


def test_a_vm_goes_to_another_host_and_back(corral: Run, client: Client, vm: str) -> None:
    client.vms.start(vm)
    client.commands.run(vm, "echo kept > /kept")
    client.snapshots.create(vm, "before", include_memory=True)
    assert "is running: stop it first" in corral("vm", "move", vm, code=5).stderr
    moved = json.loads(corral("vm", "move", vm, "--to", "host-b", "--stop", "-o", "json").stdout)
    assert (moved["state"], moved["result"]["new_host"]) == ("succeeded", "host-b")
    found = client.vms.get(vm)
    assert (found.host, found.status) == ("host-b", "running")
    assert client.commands.run(vm, "cat /kept").stdout == "kept\n"
    assert [each.name for each in client.snapshots.list(vm)] == ["before"]
    client.snapshots.restore(vm, "before")
    client.vms.stop(vm, force=True)

    # What it has left there is removed first.
    until(lambda: client.vms.move(vm, host="host-a").state == "succeeded", despite=Conflict)
    assert client.vms.get(vm).host == "host-a"
    assert "is on host 'host-a' already" in corral("vm", "move", vm, "--to", "host-a", code=5).stderr


def test_a_host_is_drained_by_moving_its_vms(corral: Run, client: Client, vm: str) -> None:
    client.vms.start(vm)
    try:
        done = corral("host", "drain", "host-a", "--strategy", "move", "--grace", "0s")
        rows = dict(row.split()[:2] for row in done.stdout.splitlines()[1:])
        assert rows[vm] == "moved"
        assert client.vms.get(vm).host == "host-b"
        until(lambda: client.vms.get(vm).status == "running")
    finally:
        client.hosts.activate("host-a")

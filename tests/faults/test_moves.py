"""VMs that move while one process after the other dies: each is on one host in the end, whole, and can be started."""

from __future__ import annotations

import os
import signal
import zlib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.waiting import until

HYPERVISOR = "fake"
HOSTS = {"host-a": "host-b", "host-b": "host-a"}
PHASES = {"source": {"slow": {"moved_files": 2.0}}, "target": {"slow": {"take_in": 2.0}}}


@pytest.fixture
def vm(rig: Any, request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of one with a file in it, off, deleted in the end."""
    name = f"m{zlib.crc32(request.node.name.encode())}"
    rig.create(name)
    assert rig.ended(rig.accept("POST", f"/vms/{name}/start")) == "succeeded"
    assert says(rig, name, "echo kept > /kept") is not None
    assert rig.ended(rig.accept("POST", f"/vms/{name}/stop")) == "succeeded"
    yield name
    assert rig.ended(rig.accept("DELETE", f"/vms/{name}")) == "succeeded"


def host_of(rig: Any, name: str) -> str:
    return str(rig.row("SELECT host_name FROM vms WHERE name = :name AND deleted_at IS NULL", name=name)[0])


def says(rig: Any, name: str, command: str) -> str | None:
    answer = rig.request("POST", f"/vms/{name}/execute", {"command": command})
    return str(answer.json()["data"]["stdout"]) if answer.status_code == 200 else None


def move(rig: Any, name: str, **body: Any) -> str:
    answer = rig.request("POST", f"/vms/{name}/move", body)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["data"]["id"])


def test_a_vm_moves_with_what_is_in_it(rig: Any, vm: str) -> None:
    source = host_of(rig, vm)
    operation = move(rig, vm)
    assert rig.ended(operation) == "succeeded", rig.row("SELECT error FROM operations WHERE id = :id", id=operation)
    assert host_of(rig, vm) == HOSTS[source]
    assert rig.ended(rig.accept("POST", f"/vms/{vm}/start")) == "succeeded"
    assert says(rig, vm, "cat /kept") == "kept\n"


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("victim", ["source", "target", "workers", "api", "redis"])
def test_killed_while_a_vm_moves(rig: Any, vm: str, victim: str, phase: str) -> None:
    rig.tell(vm, **PHASES[phase])
    source = host_of(rig, vm)
    operation = move(rig, vm)
    reached(rig, operation, phase)
    for name in processes(rig, victim, source):
        rig.fleet.kill(name)
    assert rig.ended(operation) == "succeeded", problem(rig, operation)
    assert host_of(rig, vm) == HOSTS[source]
    is_whole(rig, vm)


@pytest.mark.parametrize("phase", PHASES)
def test_cancelled_it_stays_where_it_was(rig: Any, vm: str, phase: str) -> None:
    rig.tell(vm, **PHASES[phase])
    source = host_of(rig, vm)
    operation = move(rig, vm)
    reached(rig, operation, phase)
    assert rig.request("DELETE", f"/operations/{operation}").status_code == 202
    assert rig.ended(operation) == "cancelled", problem(rig, operation)
    assert host_of(rig, vm) == source
    is_whole(rig, vm)


def test_cancelled_while_its_target_is_away(rig: Any, vm: str) -> None:
    rig.tell(vm, **PHASES["target"])
    source = host_of(rig, vm)
    operation = move(rig, vm)
    reached(rig, operation, "target")
    rig.fleet.kill(HOSTS[source], hold=True)
    try:
        assert rig.request("DELETE", f"/operations/{operation}").status_code == 202
        assert rig.ended(operation) == "cancelled", problem(rig, operation)
    finally:
        rig.fleet.restart(HOSTS[source])
    assert host_of(rig, vm) == source
    is_whole(rig, vm)


def test_its_source_is_away_when_it_has_gone(rig: Any, vm: str) -> None:
    """What that has is none any more, whatever it has begun."""
    rig.tell(vm, **PHASES["target"])
    source = host_of(rig, vm)
    operation = move(rig, vm)
    reached(rig, operation, "target")
    until(lambda: "take_in" in progress(rig, operation), why="all has come")
    rig.fleet.kill(source, hold=True)
    try:
        assert rig.ended(operation) == "succeeded", problem(rig, operation)
        assert rig.ended(rig.accept("POST", f"/vms/{vm}/start")) == "succeeded"
        assert copies(rig, vm) == ["host-a", "host-b"]
    finally:
        rig.fleet.restart(source)
    until(lambda: copies(rig, vm) == [HOSTS[source]], why="its source has removed it")
    assert says(rig, vm, "cat /kept") == "kept\n"


def test_its_source_is_cut_off_while_it_is_copied(rig: Any, vm: str) -> None:
    rig.tell(vm, **PHASES["source"])
    source = host_of(rig, vm)
    operation = move(rig, vm)
    reached(rig, operation, "source")
    rig.fleet.kill("api", hold=True)  # by which the files come
    try:
        reached(rig, operation, "target")
        agent = rig.fleet.process(source).pid
        os.kill(agent, signal.SIGSTOP)
    finally:
        rig.fleet.restart("api")
    try:
        until(lambda: "again" in progress(rig, operation), why="the files don't come")
    finally:
        os.kill(agent, signal.SIGCONT)
    assert rig.ended(operation) == "succeeded", problem(rig, operation)
    is_whole(rig, vm)


def test_deleted_while_it_moves(rig: Any, vm: str) -> None:
    rig.tell(vm, **PHASES["target"])
    operation = move(rig, vm)
    reached(rig, operation, "target")
    assert rig.ended(rig.accept("DELETE", f"/vms/{vm}")) == "succeeded"
    assert rig.state(operation) == "cancelled"
    until(lambda: copies(rig, vm) == [], why="it is nowhere")
    rig.create(vm)


def test_a_drain_moves_all_whoever_is_killed(rig: Any) -> None:
    names = [f"drained-{number}" for number in range(3)]
    for name in names:
        wanted = {"name": name, "memory_mb": 512, "cpus": 1, "storage_gb": 10, "host": "host-b"}
        assert rig.ended(rig.accept("POST", "/vms", wanted)) == "succeeded"
        rig.tell(name, slow={"moved_files": 1.0, "take_in": 1.0})
    assert rig.ended(rig.accept("POST", f"/vms/{names[0]}/start")) == "succeeded"
    answer = rig.request("POST", "/hosts/host-b/drain", {"strategy": "move", "at_once": 2, "grace_seconds": 0})
    assert answer.status_code == 202, answer.text
    drain = answer.json()["data"]["id"]
    begun = "SELECT count(*) FROM operations WHERE request_id = :id AND state = 'running'"
    until(lambda: rig.row(begun, id=drain)[0] == 2, why="two moves are at work")
    for part in (*rig.fleet.plan.worker_names, "api", *HOSTS):
        rig.fleet.kill(part)
    assert rig.ended(drain) == "succeeded", problem(rig, drain)
    result = rig.row("SELECT result FROM operations WHERE id = :id", id=drain)[0]
    assert {each["vm"]: each["outcome"] for each in result["vms"]} == dict.fromkeys(names, "moved")
    running = "SELECT observed FROM vms WHERE name = :name AND deleted_at IS NULL"
    until(lambda: rig.row(running, name=names[0])[0] == "running", why="it runs again")
    assert rig.request("POST", "/hosts/host-b/activate").status_code == 200
    for name in names:
        is_alone(rig, name)
        assert rig.ended(rig.accept("DELETE", f"/vms/{name}")) == "succeeded"


def reached(rig: Any, operation: str, phase: str) -> None:
    """Wait until one of its two hosts is at it."""
    wanted = "SELECT params ->> :phase = host_name AND begun_by IS NOT NULL FROM operations WHERE id = :id"
    until(lambda: rig.row(wanted, id=operation, phase=phase)[0], why=f"the {phase} is at it")


def processes(rig: Any, victim: str, source: str) -> list[str]:
    named: dict[str, list[str]] = {
        "source": [source],
        "target": [HOSTS[source]],
        "workers": rig.fleet.plan.worker_names,
    }
    return named.get(victim, [victim])


def problem(rig: Any, operation: str) -> str:
    return str(rig.row("SELECT error FROM operations WHERE id = :id", id=operation)[0])


def progress(rig: Any, operation: str) -> str:
    return str(rig.row("SELECT progress FROM operations WHERE id = :id", id=operation)[0])


def copies(rig: Any, name: str) -> list[str]:
    """The hosts that have something of it."""
    query = "SELECT id FROM vms WHERE name = :name ORDER BY created_at DESC LIMIT 1"
    vm_id = rig.row(query, name=name)[0]
    places = ("vms", "arriving")
    return [host for host in HOSTS if any((rig.fleet.home / "hosts" / host / each / vm_id).exists() for each in places)]


def is_alone(rig: Any, name: str) -> None:
    until(lambda: copies(rig, name) == [host_of(rig, name)], why="it is on one host")


def is_whole(rig: Any, name: str) -> None:
    """It is on its host alone, and runs there with what was in it."""
    is_alone(rig, name)
    assert rig.ended(rig.accept("POST", f"/vms/{name}/start")) == "succeeded"
    assert says(rig, name, "cat /kept") == "kept\n"

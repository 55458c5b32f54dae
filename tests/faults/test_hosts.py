"""Hosts that come and go, with `kill -9` of whatever is at it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from agent.drivers.base import DriverFolders
from agent.drivers.fake import FakeDriver
from tests.support.waiting import until

HYPERVISOR = "fake"
HOST = "host-b"


@pytest.fixture(autouse=True)
def back(rig: Any) -> Iterator[None]:
    """The host is one again afterwards."""
    yield
    until(lambda: rig.request("POST", f"/hosts/{HOST}/activate").status_code == 200, despite=OSError)
    until(lambda: shown_host(rig)["status"] == "online", why="the host is back")


def shown_host(rig: Any) -> Any:
    return rig.request("GET", f"/hosts/{HOST}").json()["data"]


def on_host(rig: Any, name: str, policy: str = "none", **fake: Any) -> None:
    """A VM of the host's, stopped."""
    wanted = {"name": name, "memory_mb": 512, "cpus": 1, "storage_gb": 10, "host": HOST, "restart_policy": policy}
    assert rig.ended(rig.accept("POST", "/vms", wanted)) == "succeeded"
    rig.tell(name, **fake)


def starts(rig: Any, name: str) -> None:
    assert rig.ended(rig.accept("POST", f"/vms/{name}/start")) == "succeeded"


def test_a_drain_goes_on_whoever_is_killed(rig: Any) -> None:
    names = [f"drained-{number}" for number in range(4)]
    for name in names:
        on_host(rig, name, slow={"stop": 2.0})
        starts(rig, name)
    body = {"strategy": "stop", "at_once": 2, "grace_seconds": 30}
    answer = rig.request("POST", f"/hosts/{HOST}/drain", body)
    assert answer.status_code == 202, answer.text
    drain = answer.json()["data"]["id"]
    begun = "SELECT count(*) FROM operations WHERE request_id = :id AND state = 'running'"
    until(lambda: rig.row(begun, id=drain)[0] == 2, why="two stops are at work")
    for part in (*rig.fleet.plan.worker_names, "api", HOST):
        rig.fleet.kill(part)
    assert rig.ended(drain) == "succeeded"
    for name in names:
        assert rig.effects(name)["stop"] == 1
        assert rig.row("SELECT observed FROM vms WHERE name = :name", name=name)[0] == "stopped"


def shown(rig: Any, name: str) -> tuple[str, str]:
    """Where a VM is, and how it is."""
    vm = rig.request("GET", f"/vms/{name}").json()["data"]
    return vm["host"], vm["state"]


def on_disk(rig: Any, host: str, vm_id: str) -> str:
    """A VM's state on a host, as a driver sees it that was never told anything."""
    place = DriverFolders(rig.fleet.home / "hosts" / host / "vms", rig.fleet.plan.images)
    return str(FakeDriver(place).observe(vm_id).state)


def runs_once(rig: Any, name: str) -> list[str]:
    """The hosts where a VM runs."""
    (vm_id,) = rig.row("SELECT id FROM vms WHERE name = :name", name=name)
    return [host for host in rig.fleet.plan.host_names if on_disk(rig, host, vm_id) == "running"]


def dies(rig: Any) -> None:
    """The host's agent, and it stays dead until it is silent."""
    rig.fleet.kill(HOST, hold=True)
    until(lambda: shown_host(rig)["status"] == "offline", why="the host is offline")


def activates(rig: Any) -> None:
    assert rig.request("POST", f"/hosts/{HOST}/activate").status_code == 200
    until(lambda: shown_host(rig)["status"] == "online", why="the host is back")


@pytest.mark.parametrize("moment", ["while it runs", "while it starts"])
def test_a_dead_host_s_vm_is_made_anew_and_its_return_makes_no_second_one(rig: Any, moment: str) -> None:
    name, other = f"fenced-{moment[-4:]}", "host-a"
    slow = {"slow": {"start": 3.0}} if moment == "while it starts" else {}
    on_host(rig, name, "elsewhere", **slow)
    (vm_id,) = rig.row("SELECT id FROM vms WHERE name = :name", name=name)
    if slow:
        rig.running(rig.accept("POST", f"/vms/{name}/start"))
    else:
        starts(rig, name)
    dies(rig)
    rig.tell(name)
    before = rig.effects(name)["start"]
    assert rig.request("POST", f"/hosts/{HOST}/fence", {"reason": "smoke"}).status_code == 200
    for worker in rig.fleet.plan.worker_names:  # another goes on with it
        rig.fleet.kill(worker)
    until(lambda: shown(rig, name) == (other, "running"), why="it runs elsewhere")

    rig.fleet.restart(HOST)
    until(lambda: on_disk(rig, HOST, vm_id) == "stopped", why="the host has powered it off")
    assert shown_host(rig)["scheduling"]["state"] == "fenced"
    assert runs_once(rig, name) == [other]
    rig.fleet.kill(HOST)
    activates(rig)
    until(lambda: on_disk(rig, HOST, vm_id) == "absent", why="what is left of it is removed")
    assert (shown(rig, name), runs_once(rig, name)) == ((other, "running"), [other])
    log = (rig.fleet.home / "hosts" / HOST / "fake-effects.log").read_text().split("\n")
    assert log.count(f"{vm_id} start") == before
    assert rig.ended(rig.accept("DELETE", f"/vms/{name}")) == "succeeded"


def test_a_host_that_is_fenced_by_mistake_comes_back_with_its_vms(rig: Any) -> None:
    on_host(rig, "mistaken")
    starts(rig, "mistaken")
    assert rig.request("POST", f"/hosts/{HOST}/fence").status_code == 409
    assert rig.request("POST", f"/hosts/{HOST}/fence", {"force": True}).status_code == 200
    until(lambda: shown(rig, "mistaken") == (HOST, "inaccessible"), why="it is lost")
    until(lambda: runs_once(rig, "mistaken") == [], why="the agent, which was alive, has powered it off")
    activates(rig)
    until(lambda: shown(rig, "mistaken") == (HOST, "poweroff"), why="it is found")
    starts(rig, "mistaken")
    assert rig.effects("mistaken")["start"] == 2


def test_secrets_are_rotated_whoever_is_killed(rig: Any) -> None:
    """While the hosts work; nothing is done twice, and no former secret is valid afterwards."""
    names = rig.fleet.plan.host_names
    on_host(rig, "rotated")
    left = "SELECT count(*) FROM host_identities WHERE secret_changed_at < :before"
    for parts in (rig.fleet.plan.worker_names, names, ("redis",), (*names, *rig.fleet.plan.worker_names)):
        (before,) = rig.row("SELECT now()")
        for name in names:
            assert rig.request("POST", f"/hosts/{name}/rotate").status_code == 200
        for part in parts:
            rig.fleet.kill(part)
        until(lambda: rig.row(left, before=before)[0] == 0, why=f"rotated although {parts} were killed")  # noqa: B023  # at once
        assert rig.row("SELECT count(next_sha256) + count(rotation) FROM host_identities")[0] == 0
        starts(rig, "rotated")
        assert rig.ended(rig.accept("POST", "/vms/rotated/stop", {"force": True})) == "succeeded"
    assert (rig.effects("rotated")["start"], rig.effects("rotated")["stop"]) == (4, 4)

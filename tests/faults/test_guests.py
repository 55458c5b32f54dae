"""The same failures with real guests: QEMU outlives the agent, and no death leaves two of one VM."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest
from sqlalchemy import text

from cli.fleet import vms
from tests.support.waiting import until

HYPERVISOR = "qemu"


@pytest.fixture
def vm(rig: Any) -> Any:
    """A stopped VM called "guest", deleted in the end."""
    rig.create("guest")
    yield "guest"
    assert rig.ended(rig.accept("DELETE", "/vms/guest"), 60) == "succeeded"
    assert vms.running(rig.fleet.home) == []


def test_a_guest_survives_its_agent_and_is_used_again(rig: Any, vm: str) -> None:
    operation = rig.accept("POST", f"/vms/{vm}/start")
    rig.running(operation)
    until(lambda: vms.running(rig.fleet.home), why="a QEMU process")
    host = _host(rig)
    rig.fleet.kill(host)  # while the guest boots
    assert rig.ended(operation, 90) == "succeeded"
    (before,) = vms.running(rig.fleet.home)
    rig.fleet.kill(host)  # while it runs
    until(lambda: _says(rig, vm, "echo here") == "here\n", why="the guest is used through a new agent")
    (after,) = vms.running(rig.fleet.home)
    assert after.process.pid == before.process.pid


def test_what_dies_behind_our_back_is_noticed(rig: Any, vm: str) -> None:
    assert rig.ended(rig.accept("POST", f"/vms/{vm}/start"), 90) == "succeeded"
    (running,) = vms.running(rig.fleet.home)
    os.kill(running.process.pid, signal.SIGKILL)
    until(lambda: _state(rig, vm) == "aborted", why="the crash was noticed")
    assert rig.ended(rig.accept("POST", f"/vms/{vm}/start"), 90) == "succeeded"


def test_all_else_dies_while_a_guest_boots(rig: Any, vm: str) -> None:
    operation = rig.accept("POST", f"/vms/{vm}/start")
    rig.running(operation)
    with rig.engine.begin() as held:
        held.execute(text("SELECT 1 FROM vms WHERE name = 'guest' FOR UPDATE"))
        rig.fleet.kill("worker")
        rig.fleet.kill("api")
    rig.fleet.kill("redis", hold=True)
    rig.fleet.kill("postgres", hold=True)
    rig.fleet.restart("postgres")
    rig.fleet.restart("redis")
    assert rig.ended(operation, 90) == "succeeded"
    assert len(vms.running(rig.fleet.home)) == 1
    until(lambda: _says(rig, vm, "echo here") == "here\n", why="the guest is used")


def test_delete_wins_over_a_boot(rig: Any) -> None:
    rig.create("short")
    start = rig.accept("POST", "/vms/short/start")
    until(lambda: vms.running(rig.fleet.home), why="a QEMU process")
    delete = rig.accept("DELETE", "/vms/short")
    assert rig.ended(delete, 60) == "succeeded"
    assert rig.state(start) == "cancelled"
    assert vms.running(rig.fleet.home) == []


def _host(rig: Any) -> str:
    return str(rig.row("SELECT host_name FROM vms WHERE name = 'guest' AND deleted_at IS NULL")[0])


def _state(rig: Any, name: str) -> str:
    return str(rig.request("GET", f"/vms/{name}").json()["data"]["state"])


def _says(rig: Any, name: str, command: str) -> str | None:
    try:
        answer = rig.request("POST", f"/vms/{name}/execute", {"command": command})
    except OSError:  # the API is on its way back
        return None
    return str(answer.json()["data"]["stdout"]) if answer.status_code == 200 else None

"""What a VM's record says of disks, adapters and being paused: what its host told last, and nothing twice."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import to_builtins
from sqlalchemy import update

from core.contract.commands import AdapterSet, DiskAttach
from core.contract.errors import Conflict, Invalid, NotFound, Unsupported
from core.contract.messages import Failure
from core.contract.states import Observed
from core.contract.vms import Adapter, Disk, Hardware
from core.models import Host
from core.services import hardware, lookup, operations, vms
from core.services.accepted import Accepted
from core.services.context import Actor
from tests.core.conftest import make_user

DISK = Disk("SATA Controller", 1, 0, "hdd", "/m/a.vdi", 1 << 30, None, "vdi", own=False)
ADAPTER = Adapter(0, cable_connected=False)
REQUEST = DiskAttach("SATA Controller", 1, 0, "hdd", "a.vdi")


@pytest.fixture
def web(transaction: Any, actor: Actor, host: str, helpers: Any) -> str:
    """A stopped VM; its name."""
    helpers.do(lambda s: vms.create(s, actor, helpers.request("web")), Observed.STOPPED)
    return "web"


def kept(transaction: Any, actor: Actor) -> Hardware:
    """The VM's hardware as its record has it."""
    with transaction() as session:
        return lookup.vm(session, actor, "web").hardware


def begin(transaction: Any, actor: Actor, what: Any, *args: Any) -> Accepted:
    with transaction() as session:
        operation: Accepted = what(session, actor, "web", *args)
        return operation


def test_a_success_is_taken_over_and_a_failure_is_not(transaction: Any, actor: Actor, web: str, helpers: Any) -> None:
    attach = begin(transaction, actor, hardware.attach, REQUEST)
    assert (attach.kind, attach.params) == ("disk_attach", REQUEST.stored())
    told = helpers.report(attach, "succeeded", Observed.STOPPED, result={"disks": [to_builtins(DISK)]})
    for _ in range(2):
        helpers.apply(told)
    assert kept(transaction, actor) == Hardware(disks=[DISK])
    setting = begin(transaction, actor, hardware.set_adapter, AdapterSet(0, cable_connected=False))
    assert setting.params == {"slot": 0, "cable_connected": False}
    helpers.apply(helpers.report(setting, "succeeded", Observed.STOPPED, result={"adapters": [to_builtins(ADAPTER)]}))
    detach = begin(transaction, actor, hardware.detach, "SATA Controller", 1, 0)
    refused = Failure("invalid_state", "no")
    helpers.apply(helpers.report(detach, "failed", Observed.STOPPED, failure=refused, result={"disks": []}))
    assert kept(transaction, actor) == Hardware(disks=[DISK], adapters=[ADAPTER])
    again = begin(transaction, actor, hardware.detach, "SATA Controller", 1, 0)
    helpers.apply(helpers.report(again, "succeeded", Observed.STOPPED, result={"disks": []}))
    assert kept(transaction, actor) == Hardware(disks=[], adapters=[ADAPTER])


def test_what_a_host_tells_wrongly_changes_nothing(transaction: Any, actor: Actor, web: str, helpers: Any) -> None:
    attach = begin(transaction, actor, hardware.attach, REQUEST)
    told = helpers.report(attach, "succeeded", Observed.STOPPED, result={"disks": "?"})
    with pytest.raises(Invalid, match="disks"):
        helpers.apply(told)
    assert kept(transaction, actor) == Hardware()


def test_two_changes_at_once_are_a_conflict(transaction: Any, actor: Actor, web: str) -> None:
    begin(transaction, actor, hardware.attach, REQUEST)
    for what, args in (
        (hardware.attach, [REQUEST]),
        (hardware.set_adapter, [AdapterSet(0, enabled=False)]),
        (vms.pause, []),
    ):
        with pytest.raises(Conflict):
            begin(transaction, actor, what, *args)


def test_others_and_drivers_that_can_not_are_refused(transaction: Any, actor: Actor, web: str) -> None:
    with pytest.raises(NotFound):
        begin(transaction, make_user(transaction, "bob"), hardware.attach, REQUEST)
    with transaction() as session:
        session.execute(update(Host).values(drivers=[{"name": "fake", "healthy": True, "capabilities": []}]))
    for what, args, word in (
        (hardware.attach, [REQUEST], "disks"),
        (hardware.detach, ["SATA Controller", 1, 0], "disks"),
        (hardware.set_adapter, [AdapterSet(0, enabled=False)], "adapters"),
    ):
        with pytest.raises(Unsupported, match=f"'fake' of VM 'web' does not offer {word}"):
            begin(transaction, actor, what, *args)


def test_pause_and_resume_need_what_they_end(transaction: Any, actor: Actor, web: str, helpers: Any) -> None:
    def refused(what: Any, code: str) -> None:
        with pytest.raises(Conflict) as failure:
            begin(transaction, actor, what)
        assert failure.value.code == code

    def do(what: Any, after: Observed, phase: str = "succeeded") -> None:
        operation = begin(transaction, actor, what)
        failure = None if phase == "succeeded" else Failure("operation_failed", "no")
        helpers.apply(helpers.report(operation, phase, after, failure=failure))

    refused(vms.pause, "vm_not_running")
    refused(vms.resume, "vm_not_running")
    do(vms.start, Observed.RUNNING)
    refused(vms.resume, "invalid_state")
    do(vms.pause, Observed.PAUSED)
    refused(vms.pause, "invalid_state")
    do(vms.resume, Observed.PAUSED, "failed")
    with transaction() as session:
        found = lookup.vm(session, actor, "web")
        assert (found.wanted, operations.live_of(session, found)) == ("paused", None)
    do(vms.resume, Observed.RUNNING)
    with transaction() as session:
        assert lookup.vm(session, actor, "web").wanted == "running"
    do(vms.save, Observed.STOPPED)
    refused(vms.save, "vm_not_running")
    do(vms.start, Observed.RUNNING)
    do(vms.save, Observed.RUNNING, "failed")
    with transaction() as session:
        assert lookup.vm(session, actor, "web").wanted == "running"

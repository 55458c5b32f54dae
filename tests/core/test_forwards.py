"""A port is one VM's on its host, from the request until the forward or the VM is gone, or the request has failed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import func, select

from core.contract.errors import Conflict, Invalid, NotFound
from core.contract.hosts import HostFacts
from core.contract.messages import Failure, Forward
from core.contract.states import Observed
from core.models import Host, Operation, PortForward, Vm
from core.services import forwards, lookup, operations, vms
from core.services.accepted import Accepted
from core.services.context import Actor
from core.services.forwards import ForwardRequest
from core.services.intake import sweeps

WEB = ForwardRequest(20080, 80)


@pytest.fixture
def vm(transaction: Any, actor: Actor, host: str, helpers: Any) -> str:
    helpers.do(lambda s: vms.create(s, actor, helpers.request("web")), Observed.STOPPED)
    return "web"


def spec_forwards(transaction: Any, actor: Actor, operation: Accepted | None = None) -> list[Forward]:
    with transaction() as session:
        vm = lookup.vm(session, actor, "web")
        if operation is None:
            return operations.spec_of(vm).forwards
        return operations.command_of(vm, session.get_one(Operation, operation.id)).vm.forwards


def count(transaction: Any) -> int:
    with transaction() as session:
        return session.scalar(select(func.count()).select_from(PortForward)) or 0


def test_a_forward_is_sent_whole_and_comes_back_with_each_start(
    transaction: Any, actor: Actor, vm: str, helpers: Any
) -> None:
    with transaction() as session:
        begun = forwards.create(session, actor, vm, WEB)
        assert forwards.page(session, actor, vm, 50, 0)[1:] == ([], 0)  # not before its host has it
    assert spec_forwards(transaction, actor, begun) == [Forward("tcp", 20080, 80)]
    for _ in range(2):
        helpers.tell(begun, "succeeded", Observed.STOPPED)
    with transaction() as session:
        (listed,) = forwards.page(session, actor, vm, 50, 0)[1]
        assert (listed.host_port, listed.guest_port, listed.protocol) == (20080, 80, "tcp")
    start = helpers.do(lambda s: vms.start(s, actor, vm), Observed.RUNNING)
    assert spec_forwards(transaction, actor, start) == [Forward("tcp", 20080, 80)]


def test_a_delete_is_sent_without_it_and_frees_the_port(transaction: Any, actor: Actor, vm: str, helpers: Any) -> None:
    helpers.do(lambda s: forwards.create(s, actor, vm, WEB), Observed.STOPPED)
    with transaction() as session:
        begun = forwards.delete(session, actor, vm, "20080")
    assert spec_forwards(transaction, actor, begun) == []
    helpers.tell(begun, "failed", Observed.STOPPED)
    assert spec_forwards(transaction, actor) == [Forward("tcp", 20080, 80)]  # its host may still have it
    helpers.do(lambda s: forwards.delete(s, actor, vm, "20080", "tcp"), Observed.STOPPED)
    assert count(transaction) == 0
    helpers.do(lambda s: forwards.create(s, actor, vm, WEB), Observed.STOPPED)


def test_what_fails_or_is_never_answered_frees_the_port(transaction: Any, actor: Actor, vm: str, helpers: Any) -> None:
    with transaction() as session:
        begun = forwards.create(session, actor, vm, WEB)
    taken = Failure("port_taken", "a stranger has it")
    helpers.apply(helpers.report(begun, "failed", Observed.STOPPED, failure=taken))
    assert count(transaction) == 0
    with transaction() as session:
        late = forwards.create(session, actor, vm, WEB)
        session.get_one(Operation, late.id).deadline_at = begun.deadline_at.replace(year=2000)
    with transaction() as session:
        for operation in sweeps.late(session):
            sweeps.expire(session, *operation)
    assert count(transaction) == 0


def test_of_two_requests_for_a_port_at_once_one_is_refused(
    transaction: Any, actor: Actor, vm: str, helpers: Any
) -> None:
    names = [vm, "two", "three"]
    for name in names[1:]:
        helpers.do(lambda s, name=name: vms.create(s, actor, helpers.request(name)), Observed.STOPPED)

    def ask(name: str) -> str:
        try:
            with transaction() as session:
                return str(forwards.create(session, actor, name, WEB).state)
        except Conflict as error:
            return error.code

    with ThreadPoolExecutor(3) as pool:
        assert sorted(pool.map(ask, names)) == ["port_taken", "port_taken", "queued"]
    with transaction() as session:  # the same number for another protocol is another port
        free = next(vm for vm in session.scalars(select(Vm)) if operations.live_of(session, vm) is None)
        forwards.create(session, actor, free.name, ForwardRequest(20080, 80, "udp"))


def test_zero_chooses_until_none_is_left(transaction: Any, actor: Actor, vm: str, helpers: Any, host: str) -> None:
    with transaction() as session:
        session.get_one(Host, host).facts = HostFacts(forward_ports=(20000, 20002))
    anything = ForwardRequest(0, 22)
    for _ in range(3):
        helpers.do(lambda s: forwards.create(s, actor, vm, anything), Observed.STOPPED)
    with transaction() as session:
        assert [each.host_port for each in forwards.page(session, actor, vm, 50, 0)[1]] == [20000, 20001, 20002]
        with pytest.raises(Conflict, match="no free tcp port"):
            forwards.create(session, actor, vm, anything)


def test_a_port_of_both_protocols_must_be_said_which(transaction: Any, actor: Actor, vm: str, helpers: Any) -> None:
    for protocol in ("tcp", "udp"):
        helpers.do(lambda s, p=protocol: forwards.create(s, actor, vm, ForwardRequest(29000, 9, p)), Observed.STOPPED)
    with transaction() as session, pytest.raises(Invalid, match="give the protocol"):
        forwards.delete(session, actor, vm, "29000")
    for ref in ("9001", "0", "fwd-nothing", "9" * 400, "²"):
        with transaction() as session, pytest.raises(NotFound):
            forwards.delete(session, actor, vm, ref)
    helpers.do(lambda s: forwards.delete(s, actor, vm, "29000", "udp"), Observed.STOPPED)
    with transaction() as session:
        (left,) = forwards.page(session, actor, vm, 50, 0)[1]
    helpers.do(lambda s: forwards.delete(s, actor, vm, left.id), Observed.STOPPED)


def test_a_deleted_vm_frees_its_ports(transaction: Any, actor: Actor, vm: str, helpers: Any) -> None:
    with transaction() as session:
        forwards.create(session, actor, vm, WEB)
    helpers.do(lambda s: vms.delete(s, actor, vm), Observed.ABSENT)
    assert count(transaction) == 0


def test_a_callers_ports_are_those_of_the_host_and_nobodys_are_corrals_own(
    transaction: Any, actor: Actor, vm: str, helpers: Any, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CORRAL_PORT", "8123")
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:20001/0")
    administrator = replace(actor, role="admin")
    with transaction() as session:
        session.get_one(Host, host).facts = HostFacts(forward_ports=(20000, 20003), own_ports=[9101, 20002])
    for port in (1024, 8080, 19999, 20004, 65535):
        with transaction() as session, pytest.raises(Invalid, match="20000 to 20003"):
            forwards.create(session, actor, vm, ForwardRequest(port, 80))
    for who in (actor, administrator):
        for port in (8123, 5432, 5555, 9101, 20001, 20002):
            with transaction() as session, pytest.raises(Invalid, match="used by Corral"):
                forwards.create(session, who, vm, ForwardRequest(port, 80))
    helpers.do(lambda s: forwards.create(s, administrator, vm, ForwardRequest(8080, 80)), Observed.STOPPED)
    for _ in range(2):  # and none of those is chosen
        helpers.do(lambda s: forwards.create(s, actor, vm, ForwardRequest(0, 80)), Observed.STOPPED)
    with transaction() as session:
        ports = {each.host_port for each in forwards.page(session, actor, vm, 50, 0)[1]}
    assert ports == {8080, 20000, 20003}

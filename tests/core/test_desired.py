"""What is wanted of a VM has one writer, and what was accepted is a value and no row."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from core.contract.states import DesiredState, Observed
from core.models import Operation, Vm
from core.services import desired, vms
from core.services.accepted import Accepted
from core.services.context import Actor
from tests.core.conftest import Helpers, Transaction


@pytest.fixture
def vm_id(transaction: Transaction, helpers: Helpers, actor: Actor, host: str) -> str:
    return helpers.do(lambda s: vms.create(s, actor, helpers.request("web")), Observed.STOPPED).vm_id


def test_nothing_else_may_write_what_is_wanted(transaction: Transaction, vm_id: str) -> None:
    with transaction() as session:
        vm = session.get_one(Vm, vm_id)
        with pytest.raises(AttributeError, match=r"desired\.want"):
            vm.wanted = DesiredState.RUNNING


def test_it_is_written_and_known_at_once(transaction: Transaction, vm_id: str) -> None:
    with transaction() as session:
        vm = session.get_one(Vm, vm_id)
        desired.want(session, vm, DesiredState.PAUSED)
        assert vm.wanted == DesiredState.PAUSED
    with transaction() as session:
        assert session.get_one(Vm, vm_id).wanted == DesiredState.PAUSED


def test_what_was_accepted_is_a_value_that_says_what_the_row_says(
    transaction: Transaction, actor: Actor, vm_id: str
) -> None:
    with transaction() as session:
        accepted = vms.start(session, actor, "web")
        assert not [each for each in session if isinstance(each, Operation)]
        with pytest.raises(FrozenInstanceError):
            accepted.attempt = 2  # type: ignore[misc]
    with transaction() as session:
        assert Accepted.of(session.get_one(Operation, accepted.id)) == accepted
        assert session.get_one(Vm, vm_id).wanted == DesiredState.RUNNING

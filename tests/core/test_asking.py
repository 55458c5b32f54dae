"""Whom a call about a VM may be put to, and for what."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import update

from core.contract.errors import Unsupported
from core.contract.states import Observed
from core.models import Host
from core.services import calls, vms
from core.services.context import Actor


def test_a_driver_is_asked_for_what_it_offers(transaction: Any, actor: Actor, host: str, helpers: Any) -> None:
    helpers.do(lambda s: vms.create(s, actor, helpers.request("web")), Observed.RUNNING)
    with transaction() as session:
        session.execute(update(Host).values(drivers=[{"name": "fake", "healthy": True, "capabilities": ["guest"]}]))
    with transaction() as session:
        assert calls.to_guest(session, actor, "web")[0] == host
        with pytest.raises(Unsupported, match="'fake' of VM 'web' does not offer execs"):
            calls.to_guest(session, actor, "web", "execs")


def test_the_consoles_of_anothers_vms_are_not_asked_for(
    transaction: Any, actor: Actor, host: str, helpers: Any
) -> None:
    made = helpers.do(lambda s: vms.create(s, actor, helpers.request("web")), Observed.RUNNING)
    other = helpers.user("bob")
    admin = replace(other, role="admin")
    with transaction() as session:
        for vm_id in (made.vm_id, None):
            assert [vm.id for _, vm in calls.consoles(session, actor, vm_id, 9)] == [made.vm_id]
            assert calls.consoles(session, other, vm_id, 9) == []
        assert [vm.id for _, vm in calls.consoles(session, admin, made.vm_id, 9)] == [made.vm_id]
        assert calls.consoles(session, admin, None, 9) == []

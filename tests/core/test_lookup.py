"""Which VM a name means: the caller's own, and for an administrator anyone's, as long as only one can be meant."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from core.contract.errors import Conflict, NotFound
from core.contract.hosts import HostFacts
from core.contract.vms import Hardware, VmNetwork
from core.models import Host, Vm
from core.models.base import now
from core.services import listing, lookup, users, vms
from core.services.context import Actor


@pytest.fixture
def people(transaction: Any) -> dict[str, Actor]:
    """Two users and an administrator."""
    with transaction() as session:
        made = {
            name: users.add(session, name, "correct horse", "admin" if name == "root" else "user")
            for name in ("alice", "bob", "root")
        }
        return {name: Actor(user.id, user.username, user.role) for name, user in made.items()}


def _add(session: Session, owner: Actor, name: str) -> str:
    session.merge(
        Host(
            name="h",
            boot_id="b",
            generation=1,
            offered_vcpus=9,
            offered_memory_mb=9999,
            offered_disk_gb=9999,
            drivers=[],
            images=[],
            facts=HostFacts(),
            last_seen_at=now(),
        )
    )
    vm = Vm(
        name=name,
        owner_id=owner.user_id,
        hypervisor="fake",
        host_name="h",
        os_type="linux",
        image="i",
        vcpus=1,
        memory_mb=128,
        disk_gb=1,
        network=VmNetwork(),
        hardware=Hardware(),
        wanted="stopped",
        observed="stopped",
        reserved=False,
    )
    session.add(vm)
    session.flush()
    return vm.id


LOOKUPS = [
    lookup.vm,
    lambda session, actor, ref: lookup.vm(session, actor, ref, lock=True),
    lambda session, actor, ref: lookup.placed(session, actor, ref)[0],
    lambda session, actor, ref: lookup.to_change(session, actor, ref)[0],
    lambda session, actor, ref: listing.view(session, actor, ref).vm,
]


@pytest.mark.parametrize("find", LOOKUPS)
def test_a_name_means_the_callers_own_and_else_the_only_one(
    transaction: Any, people: dict[str, Actor], find: Any
) -> None:
    alice, bob, root = people["alice"], people["bob"], people["root"]
    with transaction() as session:
        of_alice, of_bob = _add(session, alice, "web"), _add(session, bob, "web")
        alone = _add(session, alice, "alone")
    with transaction() as session:
        assert find(session, alice, "web").id == of_alice
        assert find(session, bob, "web").id == of_bob
        assert find(session, root, "alone").id == alone
        assert find(session, root, of_bob).id == of_bob
        with pytest.raises(Conflict) as caught:
            find(session, root, "web")
        assert sorted(caught.value.details["vm_ids"]) == sorted([of_alice, of_bob])
        assert caught.value.code == "ambiguous_name"
        for stranger, ref in ((bob, "alone"), (bob, of_alice), (root, "nothing")):
            with pytest.raises(NotFound):
                find(session, stranger, ref)
    with transaction() as session:
        own = _add(session, root, "web")
        assert find(session, root, "web").id == own  # nobody can take a name from an administrator
        named_so = _add(session, bob, of_alice)  # a VM that is called as another's id
        assert find(session, root, of_alice).id == of_alice
        assert find(session, bob, of_alice).id == named_so


def test_nothing_else_is_locked_than_what_is_meant(transaction: Any, people: dict[str, Actor]) -> None:
    alice, bob, root = people["alice"], people["bob"], people["root"]
    with transaction() as session:
        of_alice, of_bob = _add(session, alice, "web"), _add(session, bob, "web")
        _add(session, root, "web")
        _add(session, bob, of_alice)
    with transaction() as session:
        for ref in ("web", of_alice):
            lookup.to_change(session, root, ref)
            lookup.vm(session, root, ref, lock=True)
        with pytest.raises(Conflict):
            vms.delete(session, Actor("nobody", "nobody", "admin"), "web")
        with transaction() as other:
            other.execute(text("SELECT 1 FROM vms WHERE id = :id FOR UPDATE NOWAIT"), {"id": of_bob})

"""A disk that is too small for its image is known before a host is asked; without a size it is large enough."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import func, select

from core.contract.errors import Invalid, NoCapacity
from core.contract.hosts import HostFacts
from core.models import Host, Vm
from core.services import vms
from core.services.accepted import Accepted
from core.services.intake import inventories

if TYPE_CHECKING:
    from core.services.context import Actor
    from tests.core.conftest import Helpers, Transaction

IMAGE = "linux-default"


def tell(transaction: Transaction, helpers: Helpers, host: str, size_gb: int) -> None:
    facts = HostFacts(image_sizes_gb={IMAGE: size_gb})
    with transaction() as session:
        inventories.record(session, replace(helpers.inventory(host), facts=facts))


@pytest.mark.parametrize(("image_gb", "asked", "has"), [(20, None, 20), (3, None, 10), (20, 20, 20), (20, 30, 30)])
def test_the_disk_is_large_enough(
    transaction: Transaction, actor: Actor, helpers: Helpers, image_gb: int, asked: int | None, has: int
) -> None:
    tell(transaction, helpers, "host-a", image_gb)
    with transaction() as session:
        operation: Accepted = vms.create(session, actor, replace(helpers.request("web"), disk_gb=asked))
        assert session.get_one(Vm, operation.vm_id).disk_gb == has
    with transaction() as session:
        assert session.get_one(Host, "host-a").reserved_disk_gb == has


def test_one_that_is_too_small_is_refused_in_the_caller_s_words_and_leaves_nothing(
    transaction: Transaction, actor: Actor, helpers: Helpers
) -> None:
    tell(transaction, helpers, "host-a", 20)
    request = replace(helpers.request("web"), disk_gb=19, disk_field="storage_gb")
    with transaction() as session, pytest.raises(Invalid, match=r"storage_gb is 19.*at least 20") as refused:
        vms.create(session, actor, request)
    assert refused.value.details["field"] == "storage_gb"
    with transaction() as session:
        assert session.scalar(select(func.count()).select_from(Vm)) == 0
        assert session.get_one(Host, "host-a").reserved_disk_gb == 0


def test_a_host_whose_image_is_larger_is_passed_over(transaction: Transaction, actor: Actor, helpers: Helpers) -> None:
    tell(transaction, helpers, "host-a", 20)
    tell(transaction, helpers, "host-b", 5)
    with transaction() as session:
        operation = vms.create(session, actor, replace(helpers.request("web"), disk_gb=6))
        assert operation.host_name == "host-b"
    with transaction() as session, pytest.raises(NoCapacity) as refused:
        vms.create(session, actor, replace(helpers.request("more"), disk_gb=6, vcpus=4))
    reasons = {each["host"]: each["reason"] for each in refused.value.details["rejected"]}
    assert "needs a disk of 20 GB" in reasons["host-a"]


def test_a_host_that_tells_nothing_stops_nobody(
    transaction: Transaction, actor: Actor, helpers: Helpers, host: str
) -> None:
    with transaction() as session:
        assert vms.create(session, actor, replace(helpers.request("web"), disk_gb=1)).host_name == host

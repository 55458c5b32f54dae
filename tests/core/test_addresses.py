"""No two VMs that are there have the same MAC address."""

from __future__ import annotations

from itertools import chain, repeat
from typing import Any

import pytest
from sqlalchemy import text

from core.contract.errors import NoCapacity
from core.contract.vms import Hardware, VmNetwork
from core.models import Vm
from core.models.base import now
from core.services import addresses


def test_an_address_that_is_taken_is_not_given_again(transaction: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = chain([b"\0\0\1", b"\0\0\1", b"\0\0\2"], repeat(b"\0\0\1"))
    monkeypatch.setattr("core.services.addresses.secrets.token_bytes", lambda _count: next(drawn))
    with transaction() as session:
        assert addresses.claim(session, "vm-1") == "52:54:00:00:00:01"
    with transaction() as session:
        assert addresses.claim(session, "vm-2") == "52:54:00:00:00:02"
        with pytest.raises(NoCapacity):
            addresses.claim(session, "vm-3")


def test_the_address_of_a_deleted_vm_is_free(transaction: Any, actor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.services.addresses.secrets.token_bytes", lambda _count: b"\0\0\1")
    with transaction() as session:
        session.execute(text("INSERT INTO mac_addresses VALUES ('52:54:00:00:00:01', 'vm-gone')"))
        with pytest.raises(NoCapacity):
            addresses.claim(session, "vm-1")
    with transaction() as session:
        session.execute(text("SET LOCAL session_replication_role = replica"))  # no host is needed for it
        gone = Vm(
            id="vm-gone",
            name="x",
            owner_id=actor.user_id,
            hypervisor="fake",
            host_name="none",
            os_type="linux",
            image="",
            vcpus=1,
            memory_mb=1,
            disk_gb=1,
            network=VmNetwork(),
            hardware=Hardware(),
            wanted="deleted",
            reserved=False,
            deleted_at=now(),
        )
        session.add(gone)
        session.flush()
        assert addresses.claim(session, "vm-1") == "52:54:00:00:00:01"

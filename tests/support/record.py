"""Users, hosts, VMs and events as the services make them, in a real database and a real Redis."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from agent.drivers.fake import FakeDriver
from core.contract.hosts import HostFacts
from core.contract.vms import Hardware, VmNetwork
from core.database import transaction
from core.dispatch import Dispatch
from core.models import ApiKey, Host, User, Vm
from core.models.base import now
from core.services import context, events, keys, users
from core.services.context import Actor


@dataclass
class Caller:
    """A user with an API key, and with a token where they have logged in."""

    actor: Actor
    key_id: str
    secret: str
    token: str = ""

    @property
    def bearer(self) -> dict[str, str]:
        """Their token as a header."""
        return {"Authorization": f"Bearer {self.token}"}

    @property
    def key(self) -> dict[str, str]:
        """Their key as a header."""
        return {"X-API-Key": self.secret}

    def headers(self, dialect: str) -> dict[str, str]:
        """The credential that chooses that dialect."""
        return self.bearer if dialect == "microvm" else self.key


@dataclass
class Record:
    """What the tests change."""

    engine: Engine
    dispatch: Dispatch

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """One whose messages leave."""
        with transaction(self.engine) as session:
            yield context.use(session, self.dispatch)

    def caller(self, role: str = "user", *, access: str = "full", password: str = "") -> Caller:
        """A new user with a key; one who can log in if there is a password, which takes a while to hash."""
        username = f"u{secrets.token_hex(5)}"
        with self.transaction() as session:
            if password:
                user = users.add(session, username, password, role)
            else:
                user = User(username=username, password_hash="-", role=role)
                session.add(user)
                session.flush()
            actor = Actor(user.id, user.username, user.role)
            key, secret = keys.create(session, actor, "test", access)
            return Caller(actor, key.id, secret)

    def revoke(self, caller: Caller) -> None:
        """End a key."""
        with self.transaction() as session:
            session.get_one(ApiKey, caller.key_id).revoked_at = now()

    def add_host(self, name: str, **changes: Any) -> None:
        """A host that was heard of just now, and has plenty of room."""
        fake = {
            "name": "fake",
            "healthy": True,
            "version": "1",
            "acceleration": "none",
            "capabilities": sorted(FakeDriver.capabilities),
            "problem": "",
        }
        values = {
            "boot_id": "b",
            "generation": 1,
            "offered_vcpus": 100_000,
            "offered_memory_mb": 1_000_000_000,
            "offered_disk_gb": 10_000_000,
            "drivers": [fake],
            "images": ["linux-default", "windows-default"],
            "facts": HostFacts(),
            "last_seen_at": now(),
        }
        with self.transaction() as session:
            session.add(Host(name=name, **(values | changes)))

    def vm(self, owner: Caller, name: str = "", **changes: Any) -> Vm:
        """A stopped VM on host-a, as if it had been created and reported, without an event."""
        values = {
            "hypervisor": "fake",
            "host_name": "host-a",
            "os_type": "linux",
            "image": "linux-default",
            "vcpus": 1,
            "memory_mb": 512,
            "disk_gb": 10,
            "network": VmNetwork(mac_address="52:54:00:00:00:01"),
            "hardware": Hardware(),
            "wanted": "stopped",
            "observed": "stopped",
            "reserved": False,
        }
        with self.transaction() as session:
            vm = Vm(name=name or f"vm{secrets.token_hex(5)}", owner_id=owner.actor.user_id, **(values | changes))
            session.add(vm)
        return vm

    def tell(self, vm: Vm, type_: str = "status_change", data: dict[str, Any] | None = None, times: int = 1) -> None:
        """Events of a VM, in one transaction."""
        with self.transaction() as session:
            for _ in range(times):
                events.of_vm(session, type_, vm, data or {"old_status": "stopped", "new_status": "running"})

    def tell_of_host(self) -> None:
        """An event of a host."""
        with self.transaction() as session:
            events.of_host(session, "host_offline", "host-a", {})

    def tell_in_silence(self, vm: Vm) -> None:
        """An event whose publication is lost."""
        with transaction(self.engine) as session:
            session.execute(
                text(
                    "INSERT INTO events (type, at, owner_id, vm_id, vm_name, data) "
                    "VALUES ('status_change', now(), :owner, :id, :name, '{}')"
                ),
                {"owner": vm.owner_id, "id": vm.id, "name": vm.name},
            )

    def newest(self) -> int:
        """The number of the newest event."""
        with transaction(self.engine) as session:
            return events.last_seq(session)

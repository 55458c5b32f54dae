"""Users, VMs and events as the services make them, on the real database and Redis."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from core.contract.hosts import HostFacts
from core.contract.vms import Hardware, VmNetwork
from core.database import transaction
from core.dispatch import Dispatch
from core.models import ApiKey, Host, User, Vm
from core.models.base import now
from core.services import context, events, keys
from core.services.context import Actor


@dataclass
class Caller:
    """A user with an API key."""

    actor: Actor
    key_id: str
    secret: str


@dataclass
class World:
    """What the tests change."""

    engine: Engine
    dispatch: Dispatch

    def caller(self, role: str = "user") -> Caller:
        """A new user with a key."""
        with transaction(self.engine) as session:
            user = User(username=f"u{secrets.token_hex(4)}", password_hash="-", role=role)
            session.add(user)
            session.flush()
            actor = Actor(user.id, user.username, user.role)
            key, secret = keys.create(session, actor, "test")
        return Caller(actor, key.id, secret)

    def vm(self, owner: Caller, name: str = "") -> Vm:
        """A new VM, without an event."""
        with transaction(self.engine) as session:
            if session.get(Host, "host-a") is None:
                session.add(_host())
                session.flush()
            vm = Vm(
                name=name or f"vm{secrets.token_hex(4)}",
                owner_id=owner.actor.user_id,
                hypervisor="fake",
                host_name="host-a",
                os_type="linux",
                image="i",
                vcpus=1,
                memory_mb=128,
                disk_gb=1,
                network=VmNetwork(),
                hardware=Hardware(),
                wanted="stopped",
                reserved=False,
            )
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
            events.of_host(session, "host_silent", "host-a", {})

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

    def revoke(self, caller: Caller) -> None:
        """End a key."""
        with transaction(self.engine) as session:
            session.get_one(ApiKey, caller.key_id).revoked_at = now()

    def newest(self) -> int:
        """The number of the newest event."""
        with transaction(self.engine) as session:
            return events.last_seq(session)

    def transaction(self) -> Any:
        """One whose messages leave."""
        return _Using(self)


class _Using:
    def __init__(self, world: World) -> None:
        self._world, self._inner = world, transaction(world.engine)

    def __enter__(self) -> Session:
        return context.use(self._inner.__enter__(), self._world.dispatch)

    def __exit__(self, *error: Any) -> bool | None:
        return self._inner.__exit__(*error)


def _host() -> Host:
    return Host(
        name="host-a",
        boot_id="b",
        generation=1,
        vcpus=64,
        memory_mb=65536,
        disk_gb=1000,
        drivers=[],
        images=[],
        facts=HostFacts(),
        last_seen_at=now(),
    )

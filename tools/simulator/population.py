"""The names and VMs of simulated hosts, in the simulator and in the database."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from core import database
from core.contract.errors import NotFound
from core.contract.states import Observed
from core.dispatch import Dispatch
from core.models import Host, HostIdentity, User
from core.models.base import now
from core.services.identities import accounts
from tools.simulator.vms import SimulatedVm

VM_VCPUS, VM_MEMORY_MB, VM_DISK_GB = 1, 256, 1
_COLUMNS = (
    "id, name, owner_id, hypervisor, host_name, os_type, image, vcpus, memory_mb, disk_gb, network, hardware, wanted,"
    " reserved, held_vcpus, held_memory_mb, observed, created_at, started_at"
)


@dataclass(frozen=True)
class Population:
    """So many hosts with so many VMs each, every second of which runs."""

    hosts: int
    vms: int
    prefix: str = "sim"

    @property
    def names(self) -> list[str]:
        """The hosts."""
        return [f"{self.prefix}-{number:04d}" for number in range(1, self.hosts + 1)]

    def vms_of(self, host: str) -> list[SimulatedVm]:
        """The VMs that are there at the start."""
        states = (Observed.STOPPED, Observed.RUNNING)
        return [
            SimulatedVm(f"vm-{host}-{number:03d}", states[number % 2], VM_VCPUS, VM_MEMORY_MB)
            for number in range(1, self.vms + 1)
        ]


def record(engine: Engine, population: Population, *, owner: str, hypervisor: str, image: str) -> None:
    """Write hosts and VMs, of that user, into the record, unless they are there; `NotFound` without that user."""
    with database.transaction(engine) as session:
        owner_id = session.scalar(select(User.id).where(User.username == owner))
        if owner_id is None:
            raise NotFound(f"there is no user '{owner}' whose VMs these could be")
        if population.names:
            session.execute(
                insert(Host).on_conflict_do_nothing(), [_host(name, population) for name in population.names]
            )
        _copy(session, _rows(population, owner_id, hypervisor, image))


def _host(name: str, population: Population) -> dict[str, object]:
    """As yet unheard of; what its VMs take is counted."""
    offer = {"boot_id": "", "generation": 0, "offered_vcpus": 0, "offered_memory_mb": 0, "offered_disk_gb": 0}
    told: dict[str, object] = {"drivers": [], "images": [], "facts": {}, "last_seen_at": now()}
    counted = {
        "reserved_vcpus": population.vms * VM_VCPUS,
        "reserved_memory_mb": population.vms * VM_MEMORY_MB,
        "reserved_disk_gb": population.vms * VM_DISK_GB,
    }
    return {"name": name, **offer, **told, **counted}


def _rows(population: Population, owner_id: str, hypervisor: str, image: str) -> Iterator[str]:
    at = now().isoformat()
    for name in population.names:
        for vm in population.vms_of(name):
            running = vm.state == Observed.RUNNING
            size = (VM_VCPUS, VM_MEMORY_MB, VM_DISK_GB)
            row = (vm.id, vm.id.removeprefix("vm-"), owner_id, hypervisor, name, "linux", image, *size, "{}", "{}")
            counted = ("running" if running else "stopped", "true", VM_VCPUS, VM_MEMORY_MB)
            yield "\t".join(map(str, (*row, *counted, vm.state.value, at, at if running else r"\N")))


def _copy(session: Session, rows: Iterator[str]) -> None:
    text = io.StringIO("\n".join(rows))
    driver = session.connection().connection.dbapi_connection
    with driver.cursor() as cursor:  # type: ignore[union-attr]  # psycopg2's own
        cursor.execute("CREATE TEMPORARY TABLE copied (LIKE vms INCLUDING DEFAULTS) ON COMMIT DROP")
        cursor.copy_expert(f"COPY copied ({_COLUMNS}) FROM STDIN", text)
        cursor.execute("INSERT INTO vms SELECT * FROM copied ON CONFLICT DO NOTHING")
        cursor.execute("ANALYZE hosts")
        cursor.execute("ANALYZE vms")


def admit(engine: Engine, dispatch: Dispatch, hosts: list[str], secret: str) -> None:
    """Make the hosts' accounts, all with that secret: in the record, and in Redis."""
    sha256 = accounts.digest(secret)
    values = [{"host": host, "secret_sha256": sha256, "joined_at": now()} for host in hosts]
    statement = insert(HostIdentity)
    again = {"secret_sha256": statement.excluded.secret_sha256, "joined_at": func.now()}
    with database.transaction(engine) as session:
        session.execute(statement.on_conflict_do_update(index_elements=["host"], set_=again), values)
    accounts.grant(dispatch.redis, dict.fromkeys(hosts, accounts.HostAccount(sha256)))

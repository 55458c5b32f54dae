"""VMs of hosts that are fenced, and what becomes of them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text

from core.contract.states import Observed
from core.models import Operation
from core.services import cordons, fences, vms
from core.services.accepted import Accepted
from core.services.context import Actor
from core.services.vms import VmRequest
from tests.workers.rig import Rig
from workers import sweeping

ADMIN = Actor("admin", "root", "admin")


def created(rig: Rig, name: str, policy: str = "elsewhere", **options: Any) -> str:
    request = VmRequest(
        name, "linux", 1, 512, 10, "linux-default", ("fake",), rig.host, restart_policy=policy, **options
    )
    with rig.workers.context.transaction() as session:
        create = vms.create(session, rig.actor, request)
    rig.send(rig.workers.report(create, "succeeded", Observed.STOPPED))
    rig.take()
    return create.vm_id


def running(rig: Rig, name: str, policy: str = "elsewhere", **options: Any) -> str:
    vm_id = created(rig, name, policy, **options)
    with rig.workers.context.transaction() as session:
        start = vms.start(session, rig.actor, name)
    rig.send(rig.workers.report(start, "succeeded", Observed.RUNNING))
    rig.take()
    return vm_id


def fence(rig: Rig, **options: Any) -> None:
    options = {"force": True} | options
    with rig.workers.context.transaction() as session:
        fences.fence(session, ADMIN, rig.host, **options)


def activate(rig: Rig) -> None:
    with rig.workers.context.transaction() as session:
        cordons.activate(session, ADMIN, rig.host)


def sweep(rig: Rig) -> None:
    sweeping.sweep(rig.workers.another())


def live(rig: Rig, vm_id: str) -> Accepted:
    query = "SELECT id FROM operations WHERE vm_id = :id AND state IN ('queued', 'running')"
    with rig.workers.context.transaction() as session:
        operation_id = session.connection().execute(text(query), {"id": vm_id}).scalar_one()
        return Accepted.of(session.get_one(Operation, operation_id))


def departures(rig: Rig) -> list[tuple[str, str]]:
    with rig.workers.context.engine.connect() as connection:
        rows = connection.execute(text("SELECT vm_id, host_name FROM departures ORDER BY 1, 2"))
        return [(row[0], row[1]) for row in rows]

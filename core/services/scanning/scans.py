"""Security scans: begun, listed, shown. The work itself is in `queue`."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core import compliance
from core.contract.errors import Conflict, CorralError, NotFound, Unsupported
from core.database import after_commit
from core.dispatch import SCAN_TASK
from core.models import Host, Scan, ScannedVm, ScanState, User, Vm
from core.models.base import now
from core.services import lookup, rules
from core.services.context import Actor, dispatch_of
from core.services.paging import Ordering, Slice, sliced
from core.services.scanning.queue import LIVE

TYPES = ("vulnerability", "compliance", "configuration")
STATES = STARTED, RUNNING, COMPLETED, FAILED, CANCELLED = ("started", "running", "completed", "failed", "cancelled")
ALL = "all"
ORDERING = Ordering(
    {
        "started_at": Scan.started_at,
        "completed_at": Scan.completed_at,
        "scan_type": Scan.scan_type,
        "target": Scan.target,
    },
    key=Scan.id,
    by="started_at",
    descending=True,
)
MOST_AT_ONCE = 10  # of one user
_SECONDS_A_VM, _AT_A_TIME = 60, 2


def start(session: Session, actor: Actor, *, scan_type: str, target: str, frameworks: list[str]) -> Scan:
    """Begin to scan one VM, or all that the caller may see.

    A VM that is named must run and have a Linux guest that answers; of "all", others are skipped and say why.
    """
    actor.must_write()
    _bound(session, actor)
    wanted = _all(session, actor) if target == ALL else [_one(session, actor, target)]
    able = sum(each.state == ScanState.QUEUED for each in wanted)
    began = now()
    scan = Scan(
        owner_id=actor.user_id,
        scan_type=scan_type,
        target=target,
        frameworks=_chosen(scan_type, frameworks),
        started_at=began,
        estimated_completion=began + timedelta(seconds=max(1, math.ceil(able / _AT_A_TIME)) * _SECONDS_A_VM),
        completed_at=None if able else began,
    )
    session.add(scan)
    session.flush()
    for each in wanted:
        each.scan_id = scan.id
    session.add_all(wanted)
    dispatch = dispatch_of(session)
    after_commit(session, lambda: dispatch.wake(SCAN_TASK))
    return scan


def get(session: Session, actor: Actor, scan_id: str) -> tuple[Scan, list[ScannedVm]]:
    """A scan of the caller's with its VMs; `NotFound`."""
    scan = session.get(Scan, scan_id)
    if scan is None or not (actor.is_admin or scan.owner_id == actor.user_id):
        raise NotFound(f"scan '{scan_id}' not found")
    query = select(ScannedVm).where(ScannedVm.scan_id == scan.id).order_by(ScannedVm.vm_name, ScannedVm.vm_id)
    return scan, list(session.scalars(query))


def list_of(session: Session, actor: Actor, wanted: Slice) -> tuple[list[tuple[Scan, str]], int]:
    """The caller's scans, newest first, each with its state, and how many there are."""
    mine = [] if actor.is_admin else [Scan.owner_id == actor.user_id]
    total = session.scalar(select(func.count()).select_from(Scan).where(*mine)) or 0
    found = list(session.scalars(sliced(select(Scan).where(*mine), ORDERING, wanted)))
    states: dict[str, set[str]] = {scan.id: set() for scan in found}
    of_vms = select(ScannedVm.scan_id, ScannedVm.state).where(ScannedVm.scan_id.in_(states)).distinct()
    for scan_id, state in session.execute(of_vms):
        states[scan_id].add(state)
    return [(scan, state_of(states[scan.id])) for scan in found], total


def state_of(states: set[str]) -> str:
    """Of a scan, from those of its VMs."""
    if states & set(LIVE):
        return STARTED if states <= {ScanState.QUEUED, ScanState.SKIPPED} else RUNNING
    if ScanState.COMPLETED in states or states <= {ScanState.SKIPPED}:
        return COMPLETED
    return FAILED if ScanState.FAILED in states else CANCELLED


def _chosen(scan_type: str, frameworks: list[str]) -> list[str]:
    """In their order, each once; all of them for a compliance scan that names none."""
    wanted = frameworks or (compliance.FRAMEWORKS if scan_type == "compliance" else ())
    return [name for name in compliance.FRAMEWORKS if name in wanted]


def _bound(session: Session, actor: Actor) -> None:
    """Each user's scans are counted and begun one after the other: the user's row is held until the commit."""
    session.execute(select(User.id).where(User.id == actor.user_id).with_for_update(key_share=True))
    query = select(func.count()).select_from(Scan).where(Scan.owner_id == actor.user_id, Scan.completed_at.is_(None))
    if (session.scalar(query) or 0) >= MOST_AT_ONCE:
        raise Conflict(
            f"{MOST_AT_ONCE} of your scans are in progress, the most allowed; wait until one ends", code="invalid_state"
        )


def _one(session: Session, actor: Actor, ref: str) -> ScannedVm:
    vm, host = lookup.placed(session, actor, ref)
    _must_be_scannable(vm, host)
    return ScannedVm(vm_id=vm.id, vm_name=vm.name, state=ScanState.QUEUED)


def _all(session: Session, actor: Actor) -> list[ScannedVm]:
    query = select(Vm, Host).join(Host, Host.name == Vm.host_name).where(Vm.deleted_at.is_(None))
    if not actor.is_admin:
        query = query.where(Vm.owner_id == actor.user_id)
    return [_queued_or_skipped(vm, host, now()) for vm, host in session.execute(query)]


def _queued_or_skipped(vm: Vm, host: Host, at: datetime) -> ScannedVm:
    try:
        _must_be_scannable(vm, host)
    except CorralError as error:
        return ScannedVm(vm_id=vm.id, vm_name=vm.name, state=ScanState.SKIPPED, reason=error.message, ended_at=at)
    return ScannedVm(vm_id=vm.id, vm_name=vm.name, state=ScanState.QUEUED)


def _must_be_scannable(vm: Vm, host: Host) -> None:
    if vm.os_type != "linux":
        raise Unsupported(f"VM '{vm.name}' has a {vm.os_type} guest; only Linux guests can be scanned")
    rules.must_be_reachable(vm, host)
    rules.must_run(vm)
    rules.must_support(vm, host, "guest")

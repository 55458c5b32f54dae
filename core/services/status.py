"""A VM's status: in Python for one VM, in SQL for a list that filters and sorts by it.

The rule is `states.status`; the SQL says the same, and a test holds the two together over every combination.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, case, literal, or_

from core.contract.states import UNDER_WAY, DesiredState, Observed, VmStatus, status
from core.models import Host, Operation, Vm
from core.services.accepted import AnyOperation


def status_of(vm: Vm, live: AnyOperation | None, host: Host | None = None) -> VmStatus:
    """The status of one VM; without `host` as if it were online."""
    return status(
        wanted=vm.wanted,
        observed=vm.observed,
        ever_started=vm.started_at is not None,
        live_kind=live.kind if live else None,
        host_offline=host is not None and host.offline_since is not None,
        lost=vm.lost_at is not None,
    )


def status_column() -> ColumnElement[str]:
    """The same as SQL, over `vms` joined with `hosts` and, left, with the live `operations`."""
    return case(
        {kind: literal(word.value) for kind, word in UNDER_WAY.items()},
        value=Operation.kind,
        else_=case(
            (Vm.wanted == DesiredState.DELETED, VmStatus.DELETING.value),
            (Vm.lost_at.is_not(None), VmStatus.LOST.value),
            (Host.offline_since.is_not(None), VmStatus.UNKNOWN.value),
            (or_(Vm.observed.is_(None), Vm.observed == Observed.ABSENT), VmStatus.FAILED.value),
            (
                Vm.observed == Observed.STOPPED,
                case((Vm.started_at.is_not(None), VmStatus.STOPPED.value), else_=VmStatus.CREATED.value),
            ),
            else_=Vm.observed,
        ),
    )

"""The desired state of a VM. Nothing else writes it once the VM is made: the model refuses that."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import set_committed_value

from core.contract.states import DesiredState, Observed
from core.models import Operation, Vm
from core.prepared import PREPARED
from core.rows import dumped, inserted
from core.services.accepted import Accepted

_WANT = "UPDATE vms SET wanted = :wanted WHERE id = :vm_id"
_ALONE = text(_WANT).execution_options(**PREPARED)
_WITH_OPERATION = text(f"WITH moved AS ({_WANT}) {inserted(Operation, 'rows')}").execution_options(**PREPARED)
_OF_OBSERVED = {Observed.RUNNING: DesiredState.RUNNING, Observed.PAUSED: DesiredState.PAUSED}


def of_observed(state: Observed) -> DesiredState:
    """What is wanted of a VM that is to stay as it was seen."""
    return _OF_OBSERVED.get(state, DesiredState.STOPPED)


def want(session: Session, vm: Vm, wanted: DesiredState, operation: Accepted | None = None) -> None:
    """Write what is wanted of a VM that is locked, and in the same statement the row of the operation that begins so.

    `IntegrityError` when another operation is live on it.
    """
    session.flush()
    values = {"wanted": wanted, "vm_id": vm.id}
    if operation is not None:
        session.connection().execute(_WITH_OPERATION, values | {"rows": dumped([vars(operation)])})
    elif vm.wanted != wanted:
        session.connection().execute(_ALONE, values)
    set_committed_value(vm, "wanted", wanted)

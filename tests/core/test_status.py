"""The status rule in SQL says what the rule in Python says, over every combination."""

from __future__ import annotations

from itertools import product
from typing import Any

from sqlalchemy import literal, select
from sqlalchemy.sql import visitors

from core.contract.states import DesiredState, Kind, Observed, status
from core.models import Host, Operation, Vm
from core.models.base import now
from core.services.status import status_column


def test_sql_and_python_agree(transaction: Any) -> None:
    kinds = [None, *Kind]
    combinations = list(product(DesiredState, [None, *Observed], [False, True], kinds, [False, True], [False, True]))
    with transaction() as session:
        for wanted, observed, started, kind, silent, lost in combinations:
            columns = {
                Vm.wanted: wanted,
                Vm.observed: observed,
                Vm.started_at: now() if started else None,
                Operation.kind: kind,
                Host.offline_since: now() if silent else None,
                Vm.lost_at: now() if lost else None,
            }
            said = session.scalar(select(_with_values(columns)))
            assert said == status(
                wanted=wanted, observed=observed, ever_started=started, live_kind=kind, host_offline=silent, lost=lost
            ), (wanted, observed, started, kind, silent, lost)


def _with_values(columns: dict[Any, Any]) -> Any:
    """The column's expression with constants in place of its tables' columns."""
    values = {attribute.property.columns[0]: value for attribute, value in columns.items()}

    def replace(element: Any, **_: Any) -> Any:
        for column, value in values.items():
            if getattr(element, "key", None) == column.key and getattr(element, "table", None) is column.table:
                return literal(value, column.type)
        return None

    return visitors.replacement_traverse(status_column(), {}, replace)

"""The inbox of one host: its reports and inventories, in their order."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.orm import Session

from core.contract.errors import Invalid
from core.contract.hosts import Inventory
from core.contract.messages import Report, ReportsEntry, decode
from core.contract.states import Phase
from core.services.intake import inventories, reports

_STEPS = (Phase.BEGUN, Phase.PROGRESS)
Step = Inventory | Sequence[Report]
"""What is applied in a transaction of its own."""


def steps(host: str, entries: Sequence[bytes]) -> list[Step]:
    """The entries as what is to be applied, in their order; `Invalid` for one that is malformed or not this host's.

    What a later entry says better is passed over: steps of an operation that has ended, all inventories but the last.
    """
    messages = [_read(host, entry) for entry in entries]
    ended = {m.operation_id for m in messages if isinstance(m, Report) and m.phase not in _STEPS}
    last = max((i for i, m in enumerate(messages) if isinstance(m, Inventory)), default=None)
    found: list[Step] = []
    told: list[Report] = []
    for index, message in enumerate(messages):
        if isinstance(message, Report):
            if message.operation_id not in ended or message.phase not in _STEPS:
                told.append(message)
        elif index == last:
            found += [told, message] if told else [message]
            told = []
    return [*found, told] if told else found


def record(session: Session, host: str, step: Step) -> None:
    """Apply one step. Twice does no harm."""
    if isinstance(step, Inventory):
        inventories.record(session, step)
    else:
        reports.record(session, host, step)


def _read(host: str, entry: bytes) -> Report | Inventory:
    message = decode(ReportsEntry, entry).body
    if message.host != host:
        raise Invalid(f"claims to come from host '{message.host:.80}'")
    return message

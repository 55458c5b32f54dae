"""What arrives from one host, in its order: reports of commands, and inventories."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy.orm import Session

from core.contract.errors import Invalid
from core.contract.messages import Inventory, Report, build
from core.services import inventories, reports

_STEPS = ("begun", "progress")
_KINDS: dict[str, type[Report] | type[Inventory]] = {"report": Report, "inventory": Inventory}


def record(session: Session, host: str, entries: Sequence[bytes]) -> None:
    """Apply the entries; `Invalid` for one that is malformed or speaks for another host.

    What a later entry says better is passed over: steps of an operation that has ended, all inventories but the last.
    """
    messages = [_read(host, entry) for entry in entries]
    ended = {m.operation_id for m in messages if isinstance(m, Report) and m.phase not in _STEPS}
    last = max((i for i, m in enumerate(messages) if isinstance(m, Inventory)), default=None)
    told: list[Report] = []
    for index, message in enumerate(messages):
        if isinstance(message, Report):
            if message.operation_id not in ended or message.phase not in _STEPS:
                told.append(message)
        elif index == last:
            reports.record(session, host, told)
            inventories.record(session, message)
            told = []
    reports.record(session, host, told)


def _read(host: str, entry: bytes) -> Report | Inventory:
    try:
        envelope: Any = json.loads(entry)
    except ValueError:
        raise Invalid("not JSON") from None
    if not isinstance(envelope, dict) or envelope.get("kind") not in _KINDS:
        raise Invalid("neither a report nor an inventory")
    message = build(_KINDS[envelope["kind"]], envelope.get("body"))
    if message.host != host:
        raise Invalid(f"speaks for host '{message.host}'")
    return message

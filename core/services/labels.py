"""Labels of hosts: set by administrators, with the join token or later, and used by lists and placements."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sqlalchemy import ColumnElement
from sqlalchemy.orm import Session

from core.contract.errors import Invalid
from core.labels import MOST, Term
from core.models import Host, HostIdentity, JoinToken


def change(host: Host, changes: Mapping[str, str | None]) -> bool:
    """Give a host labels, and take those away whose value is None; the others stay. False if nothing has changed.

    `Invalid` for too many.
    """
    kept = {key: value for key, value in {**host.labels, **changes}.items() if value is not None}
    if len(kept) > MOST:
        raise Invalid(f"host '{host.name}' would have {len(kept)} labels: at most {MOST} are allowed", field="labels")
    changed = kept != host.labels
    if changed:
        host.labels = kept
    return changed


def brought(session: Session, host: str) -> dict[str, str]:
    """What a host has as it comes to the fleet: the labels of the token that it has joined with."""
    identity = session.get(HostIdentity, host)
    token = session.get(JoinToken, identity.token_id) if identity and identity.token_id else None
    return dict(token.labels) if token else {}


def condition(terms: Iterable[Term]) -> list[ColumnElement[bool]]:
    """That a host's labels are so, as conditions of a query."""
    return [_condition(each) for each in terms]


def _condition(term: Term) -> ColumnElement[bool]:
    there = Host.labels.has_key(term.key) if term.value is None else Host.labels.contains({term.key: term.value})
    return ~there if term.negated else there

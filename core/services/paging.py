"""Pages of lists, by the same rules for every list. Each order is total, so that pages neither miss nor repeat."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Select

from core.contract.errors import Invalid

T = TypeVar("T")
Query = TypeVar("Query", bound=Select[Any])


@dataclass(frozen=True)
class Slice:
    """The part of a list, and its order. Without `sort` it is the list's own order; without `order` ascending then."""

    sort: str | None = None
    order: str | None = None
    limit: int | None = 50
    offset: int = 0


@dataclass(frozen=True)
class Ordering:
    """The orders of a list, as columns or as functions of an item, and its own order: `by`, descending or not.

    `key` is what tells any two items apart: ties go by it, in the same direction.
    """

    sorts: Mapping[str, Any]
    key: Any
    by: str
    descending: bool = False

    def of(self, wanted: Slice) -> tuple[Any, bool]:
        """What to sort by, and whether descending; `Invalid` for what the list can't be sorted by."""
        if wanted.sort is None:
            return self.sorts[self.by], self.descending if wanted.order is None else wanted.order == "desc"
        if wanted.sort not in self.sorts:
            raise Invalid(f"sort must be one of {', '.join(self.sorts)}", field="sort")
        return self.sorts[wanted.sort], wanted.order == "desc"


def sliced(query: Query, ordering: Ordering, wanted: Slice) -> Query:
    """The part of a query. What is null comes last, whatever the direction."""
    return query.order_by(*ordered(ordering, wanted)).limit(wanted.limit).offset(wanted.offset)


def sliced_from_the_end(query: Query, ordering: Ordering, wanted: Slice, total: int) -> Query:
    """The same part where there are so many rows, backwards: what is passed over is what comes after it.

    None of the values that the list is sorted by is null.
    """
    column, descending = ordering.of(wanted)
    left = max(total - wanted.offset, 0)
    size = left if wanted.limit is None else min(left, wanted.limit)
    backwards = (column, ordering.key) if descending else (column.desc(), ordering.key.desc())
    return query.order_by(*backwards).limit(size).offset(left - size)


def ordered(ordering: Ordering, wanted: Slice) -> tuple[Any, Any]:
    """What a query is ordered by. What is null comes last, whatever the direction."""
    column, descending = ordering.of(wanted)
    first, key = (column.desc(), ordering.key.desc()) if descending else (column, ordering.key)
    # An index is read backwards for what can't be null alone.
    nullable = getattr(getattr(column, "expression", column), "nullable", True)
    return (first.nulls_last() if nullable else first), key


def cut(items: Sequence[T], ordering: Ordering, wanted: Slice) -> list[T]:
    """The part of a list in memory; `sorts` and `key` are functions of an item, none of whose values is null."""
    value, descending = ordering.of(wanted)
    key: Callable[[T], Any] = ordering.key
    found = sorted(items, key=lambda item: (value(item), key(item)), reverse=descending)
    return found[wanted.offset :][: wanted.limit]

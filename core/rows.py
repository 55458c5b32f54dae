"""Rows that are written as one JSON array.

However many there are, the statement's text is the same, so it is planned once, and it can be a part of another. The
ORM's unit of work costs several times as much, which is too much for what every change writes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import inspect


def inserted(model: type, parameter: str, *, numbered: bool = False) -> str:
    """SQL that inserts the rows of that parameter, made by `dumped`, in their order.

    With `numbered` the database gives them their primary keys.
    """
    table: Any = inspect(model).local_table
    columns = ", ".join(column.name for column in table.columns if not (numbered and column.primary_key))
    return (
        f"INSERT INTO {table.name} ({columns}) SELECT {columns}"  # noqa: S608  # names of ours alone
        f" FROM jsonb_populate_recordset(NULL::{table.name}, :{parameter}) WITH ORDINALITY ORDER BY ordinality"
    )


def dumped(rows: Sequence[dict[str, Any]]) -> str:
    """The value of the parameter: each row with a value for every column that is not empty."""
    return json.dumps(rows, default=datetime.isoformat)

"""Statements that PostgreSQL plans once a connection: planning the busiest ones takes longer than running them.

psycopg2 knows no prepared statements, so they are SQL's own: `PREPARE`, then `EXECUTE`. They belong to a connection and
outlive its transactions. A connection keeps the hundred that were used last.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.engine import Engine

PREPARED = {"prepared": True}
"""The execution options of a statement that is to be planned once; its text must always be the same."""

_MOST = 100
_PARAMETER = re.compile(r"%\((\w+)\)s")


def install(engine: Engine) -> None:
    """Let the engine's connections prepare what asks for it."""
    event.listen(engine, "before_cursor_execute", _instead, retval=True)


def _instead(
    connection: Connection, cursor: Any, statement: str, parameters: Any, context: Any, _many: bool
) -> tuple[str, Any]:
    """What is sent in the place of a statement."""
    if not context.execution_options.get("prepared"):
        return statement, parameters
    statements: Statements = connection.info.setdefault("prepared", Statements())
    return statements.execution(cursor, statement), parameters


class Statements:
    """What one connection has prepared; the least recently used goes when there are too many."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}  # of each text, the one used last at the end
        self._made = 0

    def execution(self, cursor: Any, statement: str) -> str:
        """The `EXECUTE` of a statement, which is prepared unless it is."""
        name = self._names.pop(statement, None) or self._prepare(cursor, statement)
        self._names[statement] = name
        values = ", ".join(f"%({each})s" for each in _parameters(statement))
        return f"EXECUTE {name} ({values})" if values else f"EXECUTE {name}"

    def _prepare(self, cursor: Any, statement: str) -> str:
        if len(self._names) >= _MOST:
            oldest = next(iter(self._names))
            cursor.execute(f"DEALLOCATE {self._names[oldest]}")
            del self._names[oldest]
        self._made += 1
        name, places = f"corral_{self._made}", _parameters(statement)
        text = _PARAMETER.sub(lambda at: f"${places[at[1]]}", statement).replace("%%", "%")
        cursor.execute(f"PREPARE {name} AS {text}")
        return name


@lru_cache(maxsize=10 * _MOST)
def _parameters(statement: str) -> dict[str, int]:
    """Where each of its parameters is among those of the prepared statement, from 1."""
    return {name: place for place, name in enumerate(dict.fromkeys(_PARAMETER.findall(statement)), 1)}

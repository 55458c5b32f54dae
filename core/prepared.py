"""Statements that PostgreSQL plans once a connection: planning the busiest ones takes longer than running them.

psycopg2 knows no prepared statements, so they are SQL's own: `PREPARE`, then `EXECUTE`. They belong to a connection and
outlive its transactions.
"""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.engine import Engine

PREPARED = {"prepared": True}
"""The execution options of a statement that is to be planned once; its text must always be the same."""

_MOST = 200
_PARAMETER = re.compile(r"%\((\w+)\)s")


def install(engine: Engine) -> None:
    """Let the engine's connections prepare what asks for it."""
    event.listen(engine, "before_cursor_execute", _instead, retval=True)


def _instead(
    connection: Connection, cursor: Any, statement: str, parameters: Any, context: Any, _many: bool
) -> tuple[str, Any]:
    """What is sent in the place of a statement."""
    known: dict[str, str] = connection.info.setdefault("prepared", {})
    if statement in known:
        return known[statement], parameters
    if not _is_to_be(context) or len(known) >= _MOST:
        return statement, parameters
    known[statement] = _prepare(cursor, statement, f"corral_{len(known)}")
    return known[statement], parameters


def _is_to_be(context: Any) -> bool:
    """Whether it asks for it, or writes rows: of those statements there are few, and their columns tell all types."""
    return bool(context.execution_options.get("prepared") or (context.isinsert or context.isupdate))


def _prepare(cursor: Any, statement: str, name: str) -> str:
    """Prepare it by that name; how it is executed."""
    names = list(dict.fromkeys(_PARAMETER.findall(statement)))
    text = _PARAMETER.sub(lambda at: f"${names.index(at[1]) + 1}", statement).replace("%%", "%")
    cursor.execute(f"PREPARE {name} AS {text}")
    values = ", ".join(f"%({each})s" for each in names)
    return f"EXECUTE {name} ({values})" if names else f"EXECUTE {name}"

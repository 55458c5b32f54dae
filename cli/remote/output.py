"""The output of commands: tables for people, JSON and YAML for programs, names for pipes."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import click

from cli.remote.session import Session
from cli.tables import table
from cli.visible import as_json, as_yaml, visible

Columns = Mapping[str, str]
"""A column's heading, and the field that it shows, with dots for fields of fields."""

_STATES = {
    "running": "green",
    "succeeded": "green",
    "online": "green",
    "healthy": "green",
    "failed": "red",
    "crashed": "red",
    "lost": "red",
    "offline": "red",
    "unknown": "yellow",
    "queued": "cyan",
    "starting": "cyan",
    "stopping": "cyan",
}


def show_many(session: Session, items: Iterable[Any], columns: Columns, *, name: str = "name") -> None:
    """A list of values or JSON objects."""
    rows = [plain(item) for item in items]
    if session.output == "name":
        for row in rows:
            click.echo(_alone(row[name]))
    elif session.output == "table":
        cells = ([_shown(_field(row, path)) for path in columns.values()] for row in rows)
        styled = ([(value, _STATES.get(value, "")) for value in row] for row in cells)
        click.echo(table(list(columns), styled, fit=True), nl=False)
    else:
        click.echo(_dumped(session.output, rows))


def show_one(session: Session, item: Any, *, name: str = "name") -> None:
    """One value or JSON object, a field a line."""
    row = plain(item)
    if session.output == "name":
        click.echo(_alone(row[name]))
    elif session.output == "table":
        click.echo(table([], ([(field, ""), (value, _STATES.get(value, ""))] for field, value in _flat(row))), nl=False)
    else:
        click.echo(_dumped(session.output, row))


def plain(item: Any) -> Any:
    """A value as data that JSON can hold."""
    data = dataclasses.asdict(item) if dataclasses.is_dataclass(item) and not isinstance(item, type) else item
    return json.loads(json.dumps(data, default=_text))


def _dumped(form: str, data: Any) -> str:
    return as_yaml(data).rstrip("\n") if form == "yaml" else as_json(data, indent=2)


def _alone(name: Any) -> str:
    """A name in a pipe is what it is; on a terminal it is what can be seen."""
    return visible(str(name)) if sys.stdout.isatty() else str(name)


def _text(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _field(row: Mapping[str, Any], path: str) -> Any:
    value: Any = row
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _shown(value: Any) -> str:
    if value is None or value in ("", []):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(str(each) for each in value)
    moment = _moment(str(value))
    return str(value) if moment is None else _age(moment)


def _moment(text: str) -> datetime | None:
    """A date and a time of the API's, if it is one: names can look like it."""
    if len(text) < 20 or not text.endswith("Z"):
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _age(moment: datetime) -> str:
    """How long ago, as a list has room for."""
    seconds = (datetime.now(UTC) - moment).total_seconds()
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if abs(seconds) >= 2 * length:
            return f"{int(seconds // length)}{unit} ago" if seconds > 0 else f"in {int(-seconds // length)}{unit}"
    return f"{max(0, int(seconds))}s ago"


def _flat(row: Mapping[str, Any], before: str = "") -> Iterable[tuple[str, str]]:
    for field, value in row.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{before}{field}.")
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            for number, each in enumerate(value):
                yield from _flat(each, f"{before}{field}.{number}.")
        else:
            shown = value if isinstance(value, str) and _moment(value) else _shown(value)
            yield f"{before}{field}", shown

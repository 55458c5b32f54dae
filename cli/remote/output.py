"""How answers are shown: tables for people, JSON and YAML for programs, names for pipes."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import click

from cli.remote.session import Session
from cli.tables import table

Columns = Mapping[str, str]
"""A column's heading, and the field that it shows, with dots for fields of fields."""

_STATES = {
    "running": "green",
    "succeeded": "green",
    "alive": "green",
    "online": "green",
    "healthy": "green",
    "failed": "red",
    "crashed": "red",
    "lost": "red",
    "silent": "red",
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
            click.echo(row[name])
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
        click.echo(row[name])
    elif session.output == "table":
        click.echo(table([], ([(field, ""), (value, _STATES.get(value, ""))] for field, value in _flat(row))), nl=False)
    else:
        click.echo(_dumped(session.output, row))


def plain(item: Any) -> Any:
    """A value as data that JSON can hold."""
    data = dataclasses.asdict(item) if dataclasses.is_dataclass(item) and not isinstance(item, type) else item
    return json.loads(json.dumps(data, default=_text))


def _dumped(form: str, data: Any) -> str:
    if form == "yaml":
        import yaml

        return str(yaml.safe_dump(data, sort_keys=False, allow_unicode=True)).rstrip("\n")
    return json.dumps(data, indent=2, ensure_ascii=False)


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
    text = str(value)
    return _age(text) if _is_moment(text) else text


def _is_moment(text: str) -> bool:
    return len(text) >= 20 and text[4:5] == "-" and text[10:11] == "T" and text.endswith("Z")


def _age(text: str) -> str:
    """How long ago, as a list has room for."""
    seconds = (datetime.now(UTC) - datetime.fromisoformat(text)).total_seconds()
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
            shown = value if isinstance(value, str) and _is_moment(value) else _shown(value)
            yield f"{before}{field}", shown

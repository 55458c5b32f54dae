"""`corral settings`: every setting of this machine's environment."""

from __future__ import annotations

import json

import click

from core import settings


@click.command("settings")
@click.option("--output", "-o", type=click.Choice(["table", "json"]), default="table", show_default=True)
def show(output: str) -> None:
    """List every setting: its variable, its value here, and its meaning.

    A value comes from the environment, or is the default. Secrets are masked.
    """
    here, defaults = settings.load(), settings.Settings()
    rows = [
        {
            "name": variable.name,
            "value": settings.masked(field, getattr(here, field)),
            "changed": getattr(here, field) != getattr(defaults, field),
            "about": variable.about.replace("`", ""),
        }
        for field, variable in settings.variables().items()
    ]
    if output == "json":
        click.echo(json.dumps(rows, indent=2))
    else:
        _table(rows)
    for text in settings.complaints():
        click.echo(text, err=True)


def _table(rows: list[dict[str, object]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("setting", "value", "about", box=None, pad_edge=False)
    for row in rows:
        table.add_row(str(row["name"]), str(row["value"]), str(row["about"]), style="bold" if row["changed"] else None)
    Console().print(table)

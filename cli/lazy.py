"""Groups of commands that are imported when they are asked for, so that help and completion are quick."""

from __future__ import annotations

import importlib
from typing import ClassVar, NamedTuple, cast

import click


class LazyCommand(NamedTuple):
    """Where a command lives ("module:object"), and its line in the group's help."""

    where: str
    help: str


class LazyGroup(click.Group):
    """Knows sub-commands by name and place, beside those added as usual."""

    places: ClassVar[dict[str, LazyCommand]] = {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*self.places, *super().list_commands(ctx)})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.places:
            return super().get_command(ctx, cmd_name)
        module, _, name = self.places[cmd_name].where.partition(":")
        return cast(click.Command, getattr(importlib.import_module(module), name))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = []
        for name in self.list_commands(ctx):
            if name in self.places:
                rows.append((name, self.places[name].help))
            elif (command := super().get_command(ctx, name)) is not None:
                rows.append((name, command.get_short_help_str(limit=100)))
        with formatter.section("Commands"):
            formatter.write_dl(rows)

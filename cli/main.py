"""`corral`: the command line. A sub-command is imported when it is asked for, so that help is quick."""

from __future__ import annotations

import importlib
from typing import ClassVar, cast

import click

from core.contract.errors import CorralError


class _Lazy(click.Group):
    """Knows its sub-commands by name, and where each of them lives."""

    places: ClassVar[dict[str, str]] = {
        "audit": "cli.audit:audit",
        "demo": "cli.demo:demo",
        "down": "cli.fleet.down:down",
        "image": "cli.image.commands:image",
        "lab": "cli.lab.commands:lab",
        "up": "cli.fleet.up:up",
        "virtualbox": "cli.virtualbox.commands:virtualbox",
    }

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(self.places)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.places:
            return None
        module, _, name = self.places[cmd_name].partition(":")
        return cast(click.Command, getattr(importlib.import_module(module), name))

    def invoke(self, ctx: click.Context) -> object:
        """An expected failure is a sentence and exit code 1, not a traceback."""
        try:
            return super().invoke(ctx)
        except CorralError as error:
            raise click.ClickException(error.message) from error


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Corral: one API over a fleet of hypervisor hosts."""


if __name__ == "__main__":
    main(prog_name="corral")

"""Completion of the fleet's names in a shell; empty if the fleet does not answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import click
from click.shell_completion import get_completion_class

if TYPE_CHECKING:
    from corral import Client

Complete = Callable[[click.Context, click.Parameter, str], list[str]]
_MOST = 200
_PATIENCE_SECONDS = 2.0


def names(of: Callable[[Client], Iterable[str]]) -> Complete:
    """Completes with what the fleet has."""

    def complete(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
        from corral import Client
        from corral.errors import CorralError

        try:
            with Client(context=ctx.params.get("context"), timeout=_PATIENCE_SECONDS) as client:
                return [name for name in of(client) if name.startswith(incomplete)]
        except CorralError:
            return []

    return complete


vms = names(lambda client: (vm.name for vm in client.vms.list(limit=_MOST)))
images = names(lambda client: (image.name for image in client.images.list(limit=_MOST)))
hosts = names(lambda client: (str(host["name"]) for host in client.hosts.list(limit=_MOST)))
operations = names(lambda client: (operation.id for operation in client.operations.list(limit=_MOST)))


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print what makes SHELL complete commands and the fleet's own names.

    For bash: add `eval "$(corral completion bash)"` to ~/.bashrc.
    """
    kind = get_completion_class(shell)
    if kind is None:
        raise click.ClickException(f"no completion for {shell}")
    click.echo(kind(ctx.find_root().command, {}, "corral", "_CORRAL_COMPLETE").source())

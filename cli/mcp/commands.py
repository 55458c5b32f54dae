"""`corral mcp`: serve the tools on standard input and output, as an AI agent's client starts them."""

from __future__ import annotations

import click


@click.command(name="mcp")
@click.option("--context", metavar="NAME", help="The fleet to speak to (see `corral context list`).")
@click.option("--read-only", is_flag=True, help="Offer only tools that change nothing.")
@click.option(
    "--ttl",
    "ttl_minutes",
    type=click.IntRange(1, 7 * 24 * 60),
    default=60,
    show_default=True,
    metavar="MINUTES",
    help="How long a VM that an agent makes lives, unless the agent asks for less.",
)
def serve(context: str | None, read_only: bool, ttl_minutes: int) -> None:
    """Serve tools for AI agents on standard input and output (Model Context Protocol).

    For example, in an agent's configuration: {"command": "corral", "args": ["mcp"]}
    """
    from cli.mcp.server import make
    from corral import AsyncClient, CorralError

    try:
        client = AsyncClient(context=context)
    except CorralError as error:
        raise click.ClickException(error.message) from None
    make(client, read_only=read_only, longest_ttl=ttl_minutes * 60).run("stdio")

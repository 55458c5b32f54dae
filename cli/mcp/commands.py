"""`corral mcp`: serve the tools on standard input and output, as an AI agent's client starts them, or over HTTP."""

from __future__ import annotations

import click

_DAY_MINUTES = 24 * 60


class AddressParam(click.ParamType[tuple[str, int]]):
    """HOST:PORT, as a pair."""

    name = "host:port"

    def convert(
        self, value: str | tuple[str, int], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int]:
        """Of the text; a port alone is one of loopback."""
        if isinstance(value, tuple):
            return value
        host, _, port = value.rpartition(":")
        if not port.isdecimal() or not 0 < int(port) < 65536:
            self.fail(f"'{value}' is not HOST:PORT, such as 127.0.0.1:8100", param, ctx)
        return host.strip("[]") or "127.0.0.1", int(port)


@click.command(name="mcp")
@click.option("--context", metavar="NAME", help="The fleet to use (see `corral context list`).")
@click.option("--read-only", is_flag=True, help="Offer only tools that change nothing.")
@click.option(
    "--ttl",
    "ttl_minutes",
    type=click.IntRange(1, 7 * _DAY_MINUTES),
    default=60,
    show_default=True,
    metavar="MINUTES",
    help="The time to live of VMs that an agent creates, unless it asks for less.",
)
@click.option(
    "--listen",
    type=AddressParam(),
    help="Serve over HTTP at /mcp of this address instead; each agent sends its own API key.",
)
@click.option("--url", metavar="URL", help="With --listen: the API's address (default: the context's).")
@click.option("--name", "names", multiple=True, help="With --listen: the host name that agents use; repeatable.")
def serve(
    context: str | None,
    read_only: bool,
    ttl_minutes: int,
    listen: tuple[str, int] | None,
    url: str | None,
    names: tuple[str, ...],
) -> None:
    """Serve tools for AI agents on standard input and output (Model Context Protocol), or over HTTP.

    For example, in an agent's configuration: {"command": "corral", "args": ["mcp"]}
    """
    from cli.mcp.server import make
    from corral import AsyncClient, CorralError
    from corral.access import find

    if not listen and (url or names):
        raise click.UsageError("--url and --name are for --listen")
    try:
        if listen:
            from cli.mcp import over_http

            fleet = find(url, None, context).url
            click.echo(f"Tools for agents at http://{_shown(listen)}{over_http.PATH}; Ctrl-C ends it.", err=True)
            over_http.serve(fleet, *listen, names, read_only=read_only, longest_ttl=ttl_minutes * 60)
            return
        client = AsyncClient(context=context)
    except CorralError as error:
        raise click.ClickException(error.message) from None
    make(lambda: client, read_only=read_only, longest_ttl=ttl_minutes * 60).run("stdio")


def _shown(listen: tuple[str, int]) -> str:
    host, port = listen
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

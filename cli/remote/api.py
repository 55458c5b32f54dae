"""`corral api`: any request, for scripts."""

from __future__ import annotations

import json
import sys

import click

from cli.remote.session import Session, fleet_command
from cli.visible import as_json


@click.command()
@click.argument("method", type=click.Choice(["GET", "POST", "PUT", "DELETE", "PATCH"], case_sensitive=False))
@click.argument("path")
@click.option("--data", "-d", metavar="JSON", help="The body, or `-` for standard input.")
@click.option("--query", "-q", metavar="NAME=VALUE", multiple=True, help="A query parameter; repeatable.")
@fleet_command
def api(session: Session, method: str, path: str, data: str | None, query: tuple[str, ...]) -> None:
    """Send a request to PATH below /api/v1, and print the answer as JSON.

    For example: corral api GET /vms -q status=running
    """
    text = sys.stdin.read() if data == "-" else data
    try:
        body = json.loads(text) if text else None
    except ValueError as error:
        raise click.UsageError(f"--data is not JSON: {error}") from None
    parameters = dict(pair.partition("=")[::2] for pair in query)
    answer = session.client.request(method, "/" + path.removeprefix("/api/v1").lstrip("/"), body, **parameters)
    if answer is not None:
        click.echo(as_json(answer, indent=2))

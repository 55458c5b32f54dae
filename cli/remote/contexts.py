"""`corral login`, `logout` and `context`: the known fleets, and the credentials for each."""

from __future__ import annotations

import json
import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from cli.remote.output import show_many
from cli.remote.session import Session, fleet_command

if TYPE_CHECKING:
    from corral.access import Access


@click.command()
@click.argument("url", required=False)
@click.option("--context", "name", metavar="NAME", help="The name to keep this fleet under (default: the URL's host).")
@click.option("--username", "-u", help="Your username; prompts for it if missing.")
@click.option("--token-stdin", is_flag=True, help="Read an API key or token from standard input instead of a password.")
@click.option(
    "--local", is_flag=True, help="Log in to the fleet that `corral up` runs here, as its first administrator."
)
def login(url: str | None, name: str | None, username: str | None, token_stdin: bool, local: bool) -> None:
    """Log in to the fleet at URL, and make it the current context.

    The password is used once, to create an API key, and not kept. The key is kept in ~/.config/corral/config.json.
    """
    from cli.remote.session import sentences
    from corral.access import Access, Contexts

    with sentences(Session(None, "table")):
        access = _local(url) if local else None
        if access is None:
            address = (url or _asked("URL", default="http://127.0.0.1:8000")).rstrip("/")
            if urlsplit(address).scheme not in ("http", "https"):
                raise click.UsageError(f"{address!r} is not a URL: write http://host:port or https://host")
            if token_stdin:
                access = Access(address, sys.stdin.readline().strip())
            else:
                access = _with_password(address, username or _asked("Username"))
        who = _check(access)
        kept = Contexts.load()
        kept.current = name or ("local" if local else urlsplit(access.url).hostname or "default")
        kept.contexts[kept.current] = access
        kept.save()
    click.echo(f"Logged in to {access.url} ({who}) as context '{kept.current}'.", err=True)


@click.command()
@fleet_command
def logout(session: Session) -> None:
    """Revoke the current context's API key, and forget the context."""
    from corral.access import Contexts
    from corral.errors import Unauthenticated

    kept = Contexts.load()
    name = session.context or kept.current
    token = session.client.transport.access.token
    try:
        for key in session.client.keys.list():
            if token.startswith(key.prefix) and key.revoked_at is None:
                session.client.keys.revoke(key.id)
    except Unauthenticated:
        pass  # it is not valid any more
    kept.contexts.pop(name, None)
    kept.current = next(iter(kept.contexts), "") if kept.current == name else kept.current
    kept.save()
    session.tell(f"Logged out of context '{name}'.")


@click.group()
def context() -> None:
    """Contexts: the fleets that you are logged in to."""


@context.command(name="list")
@fleet_command
def list_(session: Session) -> None:
    """List contexts."""
    from corral.access import Contexts

    kept = Contexts.load()
    rows = [{"current": "*" if n == kept.current else "", "name": n, "url": a.url} for n, a in kept.contexts.items()]
    show_many(session, rows, {"": "current", "NAME": "name", "URL": "url"})


@context.command()
@click.argument("name")
def use(name: str) -> None:
    """Make NAME the current context."""
    from corral.access import Contexts

    kept = Contexts.load()
    if name not in kept.contexts:
        raise click.ClickException(f"there is no context '{name}' (known: {', '.join(kept.contexts) or 'none'})")
    kept.current = name
    kept.save()


def _asked(what: str, **options: Any) -> str:
    """What the person answers; the question is no part of the command's output."""
    return str(click.prompt(what, err=True, **options))


def _with_password(url: str, username: str) -> Access:
    from corral import Client
    from corral.access import Access

    password = _asked("Password", hide_input=True)
    with Client(url, username=username, password=password) as client:
        made = client.keys.create(f"corral on {platform.node()}"[:100])
    return Access(url, made.key or "", username)


def _local(url: str | None) -> Access:
    from core import settings
    from corral.access import Access

    path: Path = settings.load().home / "credentials.json"
    try:
        kept = json.loads(path.read_text())
        return Access(url or kept["url"], kept["api_key"], kept["username"])
    except (OSError, ValueError, KeyError, TypeError):
        raise click.ClickException(f"{path} can't be read: start a fleet with `corral up` first") from None


def _check(access: Access) -> str:
    """That the credential holds; the server's version."""
    from corral import Client

    with Client(access.url, access.token) as client:
        return f"Corral {client.status()['api_version']}"

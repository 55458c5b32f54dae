"""`corral host add` and its kin: a line to paste on a machine, and a look at it until it is a host."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from cli.host import pins
from cli.host.durations import Duration
from cli.remote import completion
from cli.remote.output import show_many, show_one
from cli.remote.session import Session, fleet_command

_TOKENS = {
    "ID": "id",
    "HOST": "host",
    "STATE": "state",
    "USES": "uses",
    "JOINED": "hosts",
    "EXPIRES": "expires_at",
    "BY": "created_by",
}
_LOOK_SECONDS = 1.0


class _Labels(click.ParamType[dict[str, str]]):
    name = "labels"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, str]:
        """Values by key; whether they can be labels, the fleet says."""
        pairs = [each.partition("=") for each in str(value).split(",")]
        if not all(key and sign for key, sign, _ in pairs):
            self.fail(
                f"{value!r} are not labels: write KEY=VALUE with commas between, such as zone=a,disk=ssd", param, ctx
            )
        return {key: text for key, _, text in pairs}


def _choices(view: Any) -> Any:
    """What both ways to a token ask."""
    view = click.option("--wait/--no-wait", default=True, show_default=True, help="Wait until the host is online.")(
        view
    )
    return click.option("--ttl", type=Duration(), default="1h", show_default=True, help="How long the token is valid.")(
        view
    )


@click.command()
@click.argument("name", required=False)
@_choices
@click.option(
    "--uses", type=click.IntRange(1), default=1, show_default=True, help="How many machines may join with the token."
)
@click.option("--labels", type=_Labels(), metavar="KEY=VALUE,...", help="The host's labels, such as zone=a,disk=ssd.")
@fleet_command
def add(session: Session, name: str | None, ttl: int, wait: bool, uses: int, labels: dict[str, str] | None) -> None:
    """Print the command that makes a machine a host, and wait until it is online. For administrators.

    Without NAME the host gets the machine's hostname. Paste the command on the machine; if it fails, run it again.
    """
    made = session.client.join_tokens.create(name, ttl_seconds=ttl, uses=uses, labels=labels)
    _show(session, made, wait=wait and uses == 1)


@click.command()
@click.argument("name", shell_complete=completion.hosts)
@_choices
@fleet_command
def rejoin(session: Session, name: str, ttl: int, wait: bool) -> None:
    """Print the command that lets a host join again, such as after a reinstallation. For administrators.

    The host keeps its secret until the command is run; then the old secret is invalid.
    """
    _show(session, session.client.join_tokens.create(name, replaces=True, ttl_seconds=ttl), wait=wait)


@click.command()
@fleet_command
def tokens(session: Session) -> None:
    """List the join tokens, newest first. For administrators."""
    show_many(session, session.client.join_tokens.list(), _TOKENS, name="id")


@click.command(name="revoke-token")
@click.argument("token_id")
@fleet_command
def revoke_token(session: Session, token_id: str) -> None:
    """Revoke a join token; hosts that have joined stay. For administrators."""
    session.client.join_tokens.revoke(token_id)
    session.tell(f"Join token {token_id} is revoked.")


def _show(session: Session, made: dict[str, Any], *, wait: bool) -> None:
    token = pins.pinned(made["token"], session.client.transport.access.url)
    if session.output in ("json", "yaml"):
        show_one(session, made | {"token": token}, name="id")
    elif session.output == "name":
        click.echo(token)
    else:
        session.tell(f"Paste this on {made['host'] or 'the machine'}, as the user that VMs are to run as:\n")
        click.echo(f"corral-agent join {token} && corral-agent")
        session.tell("\nor, on a machine that has nothing of Corral's, this, as root:\n")
        click.echo(f"{pins.fetching(token, '/join.sh')} | sh -s -- {token}")
        session.tell("")
    if wait:
        _arrival(session, made)


def _arrival(session: Session, made: dict[str, Any]) -> None:
    """Tell how far the machine is until it is online; Ctrl-C leaves the token as it is."""
    before = _heard_at(session, made["host"]) if made["replaces"] else None
    with _line(session) as tell:
        while True:
            token = session.client.join_tokens.get(made["id"])
            name = token["hosts"][-1] if token["hosts"] else None
            if name and _online(session, name, before):
                break
            if name is None and token["state"] != "waiting":
                raise click.ClickException(f"no machine has joined: the token is {token['state']}")
            tell(
                f"{name} has joined; waiting for its agent to start"
                if name
                else f"waiting, until {token['expires_at']}"
            )
            time.sleep(_LOOK_SECONDS)
    session.tell(f"Host '{name}' is online.")


def _online(session: Session, name: str, before: str | None) -> bool:
    from corral.errors import NotFound

    try:
        host = session.client.hosts.get(name)
    except NotFound:
        return False
    return bool(host["status"] == "online") and host["last_seen_at"] != before


def _heard_at(session: Session, name: str) -> str:
    return str(session.client.hosts.get(name)["last_seen_at"])


@contextmanager
def _line(session: Session) -> Iterator[Callable[[str], None]]:
    """A line that moves on a terminal; elsewhere each new text once."""
    if session.is_terminal:
        from rich.console import Console

        with Console(stderr=True).status("waiting …") as status:
            yield status.update
        return
    said: list[str] = []

    def tell(text: str) -> None:
        if text not in said:
            said.append(text)
            session.tell(text)

    yield tell

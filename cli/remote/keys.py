"""`corral key` and `corral user`: who may speak to the fleet."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from cli.remote.output import show_many, show_one
from cli.remote.session import Session, fleet_command

_COLUMNS = {
    "ID": "id",
    "NAME": "name",
    "PREFIX": "prefix",
    "ACCESS": "access",
    "CREATED": "created_at",
    "EXPIRES": "expires_at",
    "REVOKED": "revoked_at",
}


@click.group()
def key() -> None:
    """Your API keys."""


@key.command(name="list")
@fleet_command
def list_(session: Session) -> None:
    """List them, newest first."""
    show_many(session, session.client.keys.list(), _COLUMNS)


@key.command()
@click.argument("name")
@click.option("--access", type=click.Choice(["read", "full"]), default="full", show_default=True)
@click.option("--expires", type=click.DateTime(), help="When it ends by itself (UTC).")
@fleet_command
def create(session: Session, name: str, access: str, expires: datetime | None) -> None:
    """Make one, and print its secret, which nobody can show again."""
    made = session.client.keys.create(name, access=access, expires_at=expires.replace(tzinfo=UTC) if expires else None)
    if session.output == "table":
        click.echo(made.key)
    else:
        show_one(session, made)


@key.command()
@click.argument("key_id", metavar="ID")
@fleet_command
def revoke(session: Session, key_id: str) -> None:
    """End one for good."""
    session.client.keys.revoke(key_id)
    session.tell(f"Key {key_id} is revoked.")


@click.group()
def user() -> None:
    """Accounts."""


@user.command()
@click.argument("name")
@click.option("--admin", is_flag=True, help="An administrator; only one may make another.")
@fleet_command
def register(session: Session, name: str, admin: bool) -> None:
    """Register an account; its password is asked for."""
    password = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    body = {"username": name, "password": password, "role": "admin" if admin else "user"}
    show_one(session, session.client.request("POST", "/auth/register", body), name="username")

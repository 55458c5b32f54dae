"""`corral key` and `corral user`: who may speak to the fleet."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import quote

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


@user.command()
@fleet_command
def password(session: Session) -> None:
    """Change your own password; both are asked for. Tokens end, and API keys stay."""
    current = click.prompt("Current password", hide_input=True, err=True)
    new = click.prompt("New password", hide_input=True, confirmation_prompt=True, err=True)
    session.client.request("POST", "/auth/password", {"current_password": current, "new_password": new})
    session.tell("The password is changed.")


def _verb(name: str, done: str, help_text: str) -> None:
    """A verb of administrators', without options of its own."""

    @user.command(name=name, help=help_text)
    @click.argument("username")
    @fleet_command
    def command(session: Session, username: str) -> None:
        session.client.request("POST", f"/users/{quote(username, safe='')}/{name}")
        session.tell(f"User '{username}' {done}.")


_verb("disable", "is disabled: no password, token or key of theirs is taken", "Disable an account.")
_verb("enable", "is enabled again", "Enable an account again.")
_verb("revoke-tokens", "has to log in again; API keys stay", "End all tokens of an account.")

"""`corral key` and `corral user`: API keys and users."""

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
_USER_COLUMNS = {
    "NAME": "username",
    "ROLE": "role",
    "CREATED": "created_at",
    "DISABLED": "disabled_at",
    "ID": "user_id",
}


@click.group()
def key() -> None:
    """Your API keys."""


@key.command(name="list")
@fleet_command
def list_(session: Session) -> None:
    """List your API keys, newest first."""
    show_many(session, session.client.keys.list(), _COLUMNS)


@key.command()
@click.argument("name")
@click.option("--access", type=click.Choice(["read", "full"]), default="full", show_default=True)
@click.option("--expires", type=click.DateTime(), help="When the key expires (UTC).")
@fleet_command
def create(session: Session, name: str, access: str, expires: datetime | None) -> None:
    """Create an API key and print its secret, which is shown only now."""
    made = session.client.keys.create(name, access=access, expires_at=expires.replace(tzinfo=UTC) if expires else None)
    if session.output == "table":
        click.echo(made.key)
    else:
        show_one(session, made)


@key.command()
@click.argument("key_id", metavar="ID")
@fleet_command
def revoke(session: Session, key_id: str) -> None:
    """Revoke an API key for good."""
    session.client.keys.revoke(key_id)
    session.tell(f"Key {key_id} is revoked.")


@click.group()
def user() -> None:
    """User accounts."""


@user.command(name="list")
@fleet_command
def list_users(session: Session) -> None:
    """List all users, for administrators."""
    show_many(session, session.client.users.list(), _USER_COLUMNS)


@user.command()
@click.argument("name")
@click.option("--admin", is_flag=True, help="Register an administrator; only an administrator may.")
@fleet_command
def register(session: Session, name: str, admin: bool) -> None:
    """Register an account; prompts for its password."""
    password = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    body = {"username": name, "password": password, "role": "admin" if admin else "user"}
    show_one(session, session.client.request("POST", "/auth/register", body), name="username")


@user.command()
@fleet_command
def password(session: Session) -> None:
    """Change your own password; prompts for the old and the new one. Tokens end; API keys stay."""
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


_verb("disable", "is disabled: its password, tokens and keys are refused", "Disable an account.")
_verb("enable", "is enabled again", "Enable a disabled account.")
_verb("revoke-tokens", "must log in again; API keys stay", "Revoke all tokens of an account; API keys stay.")

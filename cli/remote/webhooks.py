"""`corral webhook`: URLs that get your events."""

from __future__ import annotations

import click

from cli.remote.output import show_many, show_one
from cli.remote.session import Session, fleet_command

_COLUMNS = {
    "ID": "id",
    "URL": "url",
    "TYPES": "types",
    "ENABLED": "enabled",
    "FAILING SINCE": "failing_since",
    "WHY DISABLED": "disabled_reason",
}
_DELIVERIES = {
    "ID": "id",
    "TYPE": "type",
    "VM": "vm_id",
    "STATE": "state",
    "ATTEMPTS": "attempts",
    "STATUS": "last_status",
    "PROBLEM": "last_error",
    "CREATED": "created_at",
}
_ID = click.argument("webhook_id", metavar="ID")


@click.group()
def webhook() -> None:
    """Webhooks: URLs that receive your events."""


@webhook.command(name="list")
@fleet_command
def list_(session: Session) -> None:
    """List your webhooks, newest first."""
    show_many(session, session.client.webhooks.list(), _COLUMNS)


@webhook.command()
@click.argument("url")
@click.option("--type", "types", multiple=True, help="Only events of this type; repeatable.")
@fleet_command
def create(session: Session, url: str, types: tuple[str, ...]) -> None:
    """Create a webhook and print the secret that signs its deliveries, which is shown only now."""
    made = session.client.webhooks.create(url, types=types)
    if session.output == "table":
        click.echo(made["secret"])
        session.tell(f"Webhook {made['id']} is made.")
    else:
        show_one(session, made)


@webhook.command()
@_ID
@fleet_command
def show(session: Session, webhook_id: str) -> None:
    """Show a webhook."""
    show_one(session, session.client.webhooks.get(webhook_id))


@webhook.command()
@_ID
@click.option("--url", help="The new URL.")
@click.option("--type", "types", multiple=True, help="Only events of this type; repeatable.")
@click.option("--all-types", is_flag=True, help="All types of events.")
@click.option("--enable/--disable", "enabled", default=None, help="Resume deliveries, or stop them.")
@fleet_command
def update(
    session: Session, webhook_id: str, url: str | None, types: tuple[str, ...], all_types: bool, enabled: bool | None
) -> None:
    """Change a webhook."""
    chosen = types or (() if all_types else None)
    show_one(session, session.client.webhooks.update(webhook_id, url=url, types=chosen, enabled=enabled))


@webhook.command()
@_ID
@fleet_command
def delete(session: Session, webhook_id: str) -> None:
    """Delete a webhook with its deliveries."""
    session.client.webhooks.delete(webhook_id)
    session.tell(f"Webhook {webhook_id} is deleted.")


@webhook.command()
@_ID
@fleet_command
def rotate(session: Session, webhook_id: str) -> None:
    """Give a webhook a new secret and print it; for a day deliveries are signed with both secrets."""
    made = session.client.webhooks.rotate(webhook_id)
    if session.output == "table":
        click.echo(made["secret"])
    else:
        show_one(session, made)


@webhook.command()
@_ID
@fleet_command
def test(session: Session, webhook_id: str) -> None:
    """Deliver a test event to a webhook."""
    show_one(session, session.client.webhooks.test(webhook_id))


@webhook.command()
@_ID
@click.option("--state", type=click.Choice(["waiting", "delivered", "failed"]), help="Only deliveries in this state.")
@fleet_command
def deliveries(session: Session, webhook_id: str, state: str | None) -> None:
    """List a webhook's deliveries, newest first."""
    show_many(session, session.client.webhooks.deliveries(webhook_id, state=state), _DELIVERIES)


@webhook.command()
@_ID
@click.argument("delivery_id", type=int)
@fleet_command
def resend(session: Session, webhook_id: str, delivery_id: int) -> None:
    """Deliver an event again."""
    show_one(session, session.client.webhooks.resend(webhook_id, delivery_id))

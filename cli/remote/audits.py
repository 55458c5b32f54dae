"""`corral audit list`: the audit log."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from cli.remote.output import show_many
from cli.remote.session import Session, fleet_command

_COLUMNS = {
    "TIME": "timestamp",
    "ACTION": "action_type",
    "RESULT": "result",
    "RESOURCE": "resource_id",
    "USER": "user_id",
    "FROM": "source_ip",
}


@click.command(name="list")
@click.option("--action", "action_type", help="Only this action, such as vm_create or login_failed.")
@click.option("--resource-type", help="Only this type of resource, such as vm or key.")
@click.option("--user", "user_id", help="Only entries of this user, by id.")
@click.option("--since", type=click.DateTime(), help="Only entries from this time on (UTC).")
@click.option("--until", type=click.DateTime(), help="Only entries up to this time (UTC).")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True)
@fleet_command
def list_(
    session: Session,
    action_type: str | None,
    resource_type: str | None,
    user_id: str | None,
    since: datetime | None,
    until: datetime | None,
    limit: int,
) -> None:
    """List changes and refusals, newest first; for administrators."""
    found = session.client.audit.list(
        action_type=action_type,
        resource_type=resource_type,
        user_id=user_id,
        start_time=since.replace(tzinfo=UTC) if since else None,
        end_time=until.replace(tzinfo=UTC) if until else None,
        limit=limit,
    )
    show_many(session, found, _COLUMNS, name="timestamp")

"""`corral host rotate`: hosts get new secrets, while they work."""

from __future__ import annotations

import time
from typing import Any

import click

from cli.host.durations import Duration
from cli.remote import completion
from cli.remote.output import show_many
from cli.remote.session import Session, fleet_command

_LOOK_SECONDS = 0.5
_COLUMNS = {"NAME": "name", "SECRET": "state", "CHANGED": "secret.changed_at", "PROBLEM": "secret.problem"}


@click.command()
@click.argument("names", metavar="[NAME]...", nargs=-1, shell_complete=completion.hosts)
@click.option("--all", "everyone", is_flag=True, help="All hosts of the fleet.")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Wait until the hosts that are online have it.")
@click.option("--timeout", type=Duration(), default="1m", show_default=True, help="How long to wait at most.")
@fleet_command
def rotate(session: Session, names: tuple[str, ...], everyone: bool, wait: bool, timeout: int) -> None:
    """Give hosts new secrets, without a restart. For administrators.

    A host that is offline gets its new secret when it is online again. If a secret was stolen together with its
    machine, use `corral host remove --force`; if the host must have another one at once, `corral host rejoin`.
    """
    if bool(names) == everyone:
        raise click.UsageError("give the names of hosts, or --all")
    hosts = session.client.hosts
    if everyone:
        names = tuple(
            each["name"] for each in hosts.list() if each["secret"] and each["scheduling"]["state"] != "fenced"
        )
    found = {name: hosts.rotate(name) for name in names}
    until = time.monotonic() + timeout
    while wait and (left := [name for name, host in found.items() if _may_be_soon(host)]):
        if time.monotonic() > until:
            break
        time.sleep(_LOOK_SECONDS)
        found |= {name: hosts.get(name) for name in left}
    show_many(session, [host | {"state": _state(host)} for host in found.values()], _COLUMNS)
    if wait and any(_may_be_soon(host) for host in found.values()):
        raise click.ClickException("not all hosts that are online use their new secret yet; they go on by themselves")


def _may_be_soon(host: dict[str, Any]) -> bool:
    return _is_rotating(host) and host["status"] == "online"


def _is_rotating(host: dict[str, Any]) -> bool:
    return host["secret"] is not None and host["secret"]["rotating_since"] is not None


def _state(host: dict[str, Any]) -> str:
    if not _is_rotating(host):
        return "rotated"
    return "waiting for the host" if host["status"] == "offline" else "rotating"

"""The networks of a host that a VM's adapters may join: checked before a host is called."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.contract.errors import Unfit
from core.contract.networks import JOINS_NOTHING, joined
from core.contract.vms import Hardware
from core.models import Host


def asked(hardware: Hardware) -> dict[str, str]:
    """What the adapters of a new VM are to join, by the caller's field that says so."""
    found = {}
    for name, adapter in sorted(hardware.network.items()):
        joins = joined(adapter.type, adapter.bridge_adapter) if adapter.enabled else None
        if joins is not None:
            found[f"network.{name}.{'bridge_adapter' if adapter.bridge_adapter else 'type'}"] = joins
    return found


def closed(host: Host, driver: str, joins: Collection[str]) -> list[str]:
    """Those of them that no adapter may join there; none where an older agent does not tell."""
    if driver in JOINS_NOTHING:
        return sorted(joins)
    if driver != "virtualbox" or host.facts.joinable is None:
        return []
    return sorted(set(joins) - set(host.facts.joinable))


def must_be_open(session: Session, hypervisors: Collection[str], pinned: str | None, fields: dict[str, str]) -> None:
    """`Unfit` for the first field that asks for what no host with one of those hypervisors has opened."""
    if not fields:
        return
    query = select(Host).where(Host.removed_at.is_(None), *([] if pinned is None else [Host.name == pinned]))
    there = [
        (host, driver["name"])
        for host in session.scalars(query)
        for driver in host.drivers
        if driver["name"] in hypervisors
    ]
    for field, joins in fields.items():
        if there and all(closed(host, driver, [joins]) for host, driver in there):
            raise refused(field, joins, [host for host, _ in there])


def refused(field: str, joins: str, hosts: Collection[Host]) -> Unfit:
    """The error about that field, with what may be joined instead."""
    opened = sorted({f"'{each}'" for host in hosts for each in host.facts.joinable or []})
    return Unfit.of(
        field,
        f"no adapter may join '{joins}': operators of hosts allow NAT and {', '.join(opened) or 'nothing else'}",
    )

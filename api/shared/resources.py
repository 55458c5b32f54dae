"""The list of all resources that both dialects offer."""

from __future__ import annotations

from api.rest.blueprint import Blueprint
from api.rest.shapes import Shape
from api.shared import (
    accounts,
    audit_logs,
    execs,
    execution,
    expiry,
    files,
    forwards,
    guest_credentials,
    hardware,
    health,
    hosts,
    image_contents,
    images,
    joining,
    keys,
    media,
    metrics,
    moving,
    networks,
    operations,
    scans,
    sizing,
    status,
    system_info,
    system_metrics,
    webhooks,
)

_OF_VMS = (execution, execs, expiry, files, forwards, guest_credentials, sizing, hardware, metrics, moving)
_OF_THE_FLEET = (
    networks,
    operations,
    hosts,
    joining,
    images,
    image_contents,
    keys,
    accounts,
    media,
    system_info,
    system_metrics,
    audit_logs,
    scans,
    webhooks,
    health,
    status,
)


def blueprints(shape: Shape) -> list[Blueprint]:
    """The shared resources, in a dialect."""
    return [noun.blueprint(shape) for noun in (*_OF_VMS, *_OF_THE_FLEET)]

"""The microvm dialect: the whole API of the MicroVM Sandbox document."""

from __future__ import annotations

from api.microvm import accounts, snapshots, vms
from api.microvm.shape import SHAPE
from api.rest.blueprint import Blueprint
from api.shared import resources


def blueprints() -> list[Blueprint]:
    """All its resources."""
    return [accounts.blp, vms.blp, snapshots.blp, *resources.blueprints(SHAPE)]

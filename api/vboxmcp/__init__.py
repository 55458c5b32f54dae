"""The vboxmcp dialect: the whole API of the VirtualBox document."""

from __future__ import annotations

from api.rest.blueprint import Blueprint
from api.shared import resources
from api.vboxmcp import snapshots, vms
from api.vboxmcp.shape import SHAPE


def blueprints() -> list[Blueprint]:
    """All its resources."""
    return [vms.blp, snapshots.blp, *resources.blueprints(SHAPE)]

"""All that both dialects offer alike."""

from __future__ import annotations

from api.rest.blueprint import Blueprint
from api.rest.shapes import Shape
from api.shared import (
    execs,
    execution,
    files,
    health,
    hosts,
    images,
    keys,
    metrics,
    operations,
    sizing,
    status,
    system_metrics,
)


def blueprints(shape: Shape) -> list[Blueprint]:
    """The shared resources, in a dialect."""
    nouns = (execution, execs, files, sizing, metrics, operations, hosts, images, keys, system_metrics, health, status)
    return [noun.blueprint(shape) for noun in nouns]

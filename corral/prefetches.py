"""What the API answers to a prefetch of an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from corral.models import Operation


@dataclass(frozen=True, kw_only=True)
class Prefetch:
    """An operation for each host that gets an image, and for each other one `host`, `reason` and `has_image`."""

    operations: list[Operation]
    skipped: list[dict[str, Any]]

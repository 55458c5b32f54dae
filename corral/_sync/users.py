# Made from corral/_async/users.py by scripts/unasync.py; change that file instead.
"""Accounts of the fleet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from corral._http import Json
from corral._sync.resources import _Resource


class Users(_Resource):
    """For administrators, as plain JSON objects."""

    def list(self, *, limit: int | None = None) -> Iterator[Json]:
        """By name, each with its `role` and since when it is disabled."""
        return self._transport.pages("/users", "users", dict[str, Any], limit)

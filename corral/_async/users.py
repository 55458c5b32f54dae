"""Accounts of the fleet."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from corral._async.resources import _Resource
from corral._http import Json


class AsyncUsers(_Resource):
    """For administrators, as plain JSON objects."""

    def list(self, *, limit: int | None = None) -> AsyncIterator[Json]:
        """By name, each with its `role` and since when it is disabled."""
        return self._transport.pages("/users", "users", dict[str, Any], limit)

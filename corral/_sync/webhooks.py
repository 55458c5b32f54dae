# Made from corral/_async/webhooks.py by scripts/unasync.py; change that file instead.
"""Webhooks: URLs that get the caller's events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from corral._http import Json, given, segment, value
from corral._sync.resources import _Resource


class Webhooks(_Resource):
    """The caller's own, as plain JSON objects."""

    def list(self, *, limit: int | None = None) -> Iterator[Json]:
        """Newest first."""
        return self._transport.pages("/webhooks", "webhooks", dict[str, Any], limit)

    def get(self, webhook_id: str) -> Json:
        """One of them."""
        return value(dict[str, Any], self._transport.json("GET", _path(webhook_id)))

    def create(self, url: str, *, types: Sequence[str] = ()) -> Json:
        """A new one, for events of those types, or of all; the secret that signs its deliveries is in `secret`."""
        return value(dict[str, Any], self._transport.json("POST", "/webhooks", {"url": url, "types": [*types]}))

    def update(
        self,
        webhook_id: str,
        *,
        url: str | None = None,
        types: Sequence[str] | None = None,
        enabled: bool | None = None,
    ) -> Json:
        """Change what is given."""
        body = given(url=url, types=None if types is None else [*types], enabled=enabled)
        return value(dict[str, Any], self._transport.json("PATCH", _path(webhook_id), body))

    def delete(self, webhook_id: str) -> None:
        """Delete it and its deliveries."""
        self._transport.json("DELETE", _path(webhook_id))

    def rotate(self, webhook_id: str) -> Json:
        """Give it a new `secret`; for a day deliveries are signed with the former one too."""
        return value(dict[str, Any], self._transport.json("POST", f"{_path(webhook_id)}/secret"))

    def test(self, webhook_id: str) -> Json:
        """Deliver a test event."""
        return value(dict[str, Any], self._transport.json("POST", f"{_path(webhook_id)}/test"))

    def deliveries(self, webhook_id: str, *, state: str | None = None, limit: int | None = None) -> Iterator[Json]:
        """Newest first. `state`: "waiting", "delivered" or "failed"."""
        path = f"{_path(webhook_id)}/deliveries"
        return self._transport.pages(path, "deliveries", dict[str, Any], limit, state=state)

    def resend(self, webhook_id: str, delivery_id: int) -> Json:
        """Deliver an event once more."""
        path = f"{_path(webhook_id)}/deliveries/{delivery_id}/resend"
        return value(dict[str, Any], self._transport.json("POST", path))


def _path(webhook_id: str) -> str:
    return f"/webhooks/{segment(webhook_id)}"

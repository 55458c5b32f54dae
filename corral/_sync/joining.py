# Made from corral/_async/joining.py by scripts/unasync.py; change that file instead.
"""Join tokens, by which machines become hosts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from corral._http import Json, given, segment, value
from corral._sync.resources import _Resource


class JoinTokens(_Resource):
    """For administrators, as plain JSON objects."""

    def list(self, *, limit: int | None = None) -> Iterator[Json]:
        """Newest first."""
        return self._transport.pages("/join-tokens", "tokens", dict[str, Any], limit)

    def get(self, token_id: str) -> Json:
        """One of them: its `state`, and in `hosts` who has joined with it."""
        return value(dict[str, Any], self._transport.json("GET", f"/join-tokens/{segment(token_id)}"))

    def create(
        self,
        host: str | None = None,
        *,
        replaces: bool = False,
        ttl_seconds: int | None = None,
        uses: int | None = None,
        labels: dict[str, str] | None = None,
    ) -> Json:
        """A new one, for the host of that name or for any; what is pasted on the host is in `token`, this once.

        `replaces`: the host is there, and is to join again. `labels`: what who joins has from then on.
        """
        body = given(host=host, replaces=replaces, ttl_seconds=ttl_seconds, uses=uses, labels=labels)
        return value(dict[str, Any], self._transport.json("POST", "/join-tokens", body))

    def revoke(self, token_id: str) -> None:
        """Let nobody join with it any more."""
        self._transport.json("DELETE", f"/join-tokens/{segment(token_id)}")

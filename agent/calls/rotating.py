"""Calls by which the secret of this host is changed."""

from __future__ import annotations

from collections.abc import Callable

from agent.broker.secret import HostSecret
from agent.calls.parameters import asked
from core.contract.errors import Unsupported
from core.contract.messages import JSON, Call
from core.contract.rotating import RotationRef


class Rotating:
    """`secret`: None on a host without an account of its own, where nothing can be changed."""

    def __init__(self, secret: HostSecret | None) -> None:
        self._secret = secret
        self.verbs: dict[str, Callable[[Call], JSON]] = {"secret_make": self._make, "secret_use": self._use}

    def _make(self, call: Call) -> JSON:
        return {"secret_sha256": self._own().make(asked(call, RotationRef))}

    def _use(self, call: Call) -> JSON:
        self._own().use(asked(call, RotationRef))
        return {}

    def _own(self) -> HostSecret:
        if self._secret is None:
            raise Unsupported("the agent has no account of its own in Redis")
        return self._secret

"""Calls to hosts, which a view makes without an operation."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from flask import g

from api.web.context import HubProtocol
from api.web.requests import client_gone
from core.contract.messages import JSON, VmSpec
from core.models.base import now


@dataclass(frozen=True)
class AgentCall:
    """A call to make: what a host is asked about a VM."""

    host: str
    verb: str
    vm: VmSpec
    params: JSON
    timeout: float
    asked_at: datetime = field(default_factory=now)
    said: JSON = field(default_factory=dict)
    """Of the request, what its host need not know."""

    @property
    def of_vm(self) -> VmSpec:
        """The VM; a `TypeError` of a question that has none."""
        if self.vm is None:
            raise TypeError(f"{self.verb} is asked about no VM")
        return self.vm

    def ask(self, hub: HubProtocol) -> JSON:
        """The host's reply; a client that hangs up ends what was asked for."""
        g.held = True
        return hub.call(self.host, self.verb, self.vm, self.params, self.timeout, client_gone())

"""The queue of an agent's commands, from which nothing but commands is read."""

from __future__ import annotations

from typing import Any, ClassVar

from core import transport
from core.transport import Accepts

TASK = "corral.command"
CREDENTIALS = "credentials"
"""The transport option that holds what is asked for them."""


def _one_command(arguments: dict[str, Any]) -> bool:
    return set(arguments) == {"command"} and isinstance(arguments["command"], str)


class CommandChannel(transport.ReadingChannel):
    """Reads commands."""

    accepts: ClassVar[Accepts] = {TASK: _one_command}

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:
        """Each new connection asks for the host's secret, as that may have changed."""
        found: dict[str, Any] = super()._connparams(asynchronous)  # type: ignore[no-untyped-call]
        credentials = self.connection.client.transport_options.get(CREDENTIALS)
        if credentials is not None:
            found = {name: value for name, value in found.items() if name not in ("username", "password")}
            found["credential_provider"] = credentials
        return found


class CommandTransport(transport.PooledTransport):
    """Named in the agent's `broker_transport`."""

    Channel = CommandChannel

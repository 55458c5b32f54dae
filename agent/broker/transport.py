"""The queue of an agent's commands, from which nothing but commands is read."""

from __future__ import annotations

from typing import Any, ClassVar

from core import transport
from core.transport import Accepts

TASK = "corral.command"


def _one_command(arguments: dict[str, Any]) -> bool:
    return set(arguments) == {"command"} and isinstance(arguments["command"], str)


class CommandChannel(transport.ReadingChannel):
    """Reads commands."""

    accepts: ClassVar[Accepts] = {TASK: _one_command}


class CommandTransport(transport.PooledTransport):
    """Named in the agent's `broker_transport`."""

    Channel = CommandChannel

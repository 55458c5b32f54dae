"""The queue of the control plane's own tasks, from which nothing else is read."""

from __future__ import annotations

from typing import Any, ClassVar

from core import transport
from core.dispatch import PREFETCH_TASK, ROTATION_TASK, SCAN_TASK, WEBHOOK_TASK
from core.transport import Accepts

SWEEP_TASK = "corral.sweep"


def _nothing(arguments: dict[str, Any]) -> bool:
    return not arguments


class TaskChannel(transport.ReadingChannel):
    """Reads the tasks, none of which takes an argument."""

    accepts: ClassVar[Accepts] = dict.fromkeys(
        (SWEEP_TASK, SCAN_TASK, WEBHOOK_TASK, ROTATION_TASK, PREFETCH_TASK), _nothing
    )


class TaskTransport(transport.PooledTransport):
    """Named in the workers' `broker_transport`."""

    Channel = TaskChannel

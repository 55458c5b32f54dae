"""Limits of what an AI agent sees at once."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

from websockets import ConnectionClosed
from websockets.asyncio.client import ClientConnection

from corral.models import Vm

MOST_BYTES = 32 * 1024
_MOST_LINES = 200
_QUIET_SECONDS = 1.0


def fields(vm: Vm, **more: str) -> str:
    """What is known of a VM, a field a line."""
    known = {**dataclasses.asdict(vm), **more}
    return "\n".join(f"{name}: {_text(value)}" for name, value in known.items() if value not in (None, "", {}))


def tail(text: str) -> str:
    """The last lines of a text."""
    lines = text.splitlines()
    return "\n".join(lines[-_MOST_LINES:])[-MOST_BYTES:]


async def until_quiet(line: ClientConnection, text: bytearray) -> None:
    """Read a console into `text` until nothing comes for a second."""
    try:
        while True:
            message = await asyncio.wait_for(line.recv(), _QUIET_SECONDS)
            text += message if isinstance(message, bytes) else b""
    except (TimeoutError, ConnectionClosed):
        return


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {each}" for name, each in value.items() if each not in (None, ""))
    return str(value)

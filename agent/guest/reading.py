"""Reads files in a guest by its agent: no program is started there."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path

from agent.guest import qga

SECONDS = 10.0


@dataclass(frozen=True)
class Part:
    """Some bytes of a file, and how large the file was just after."""

    data: bytes
    size: int


def part(channel: Path, path: str, offset: int, count: int) -> Part | None:
    """That many bytes of a file from there on, fewer at its end; None when there is no such file."""
    try:
        handle = qga.ask(channel, "guest-file-open", SECONDS, path=path, mode="r")
    except qga.AgentRefused:
        return None
    try:
        qga.ask(channel, "guest-file-seek", SECONDS, handle=handle, offset=offset, whence=0)
        read = qga.ask(channel, "guest-file-read", SECONDS, handle=handle, count=count)
        size = qga.ask(channel, "guest-file-seek", SECONDS, handle=handle, offset=0, whence=2)["position"]
    finally:
        qga.ask(channel, "guest-file-close", SECONDS, handle=handle)
    return Part(base64.b64decode(read["buf-b64"]), size)


def small(channel: Path, path: str, count: int = 4096) -> bytes | None:
    """The beginning of a file, also of one that has no size, as in /proc; None when there is none."""
    try:
        handle = qga.ask(channel, "guest-file-open", SECONDS, path=path, mode="r")
    except qga.AgentRefused:
        return None
    try:
        return base64.b64decode(qga.ask(channel, "guest-file-read", SECONDS, handle=handle, count=count)["buf-b64"])
    except qga.AgentRefused:  # a process that has just ended
        return None
    finally:
        qga.ask(channel, "guest-file-close", SECONDS, handle=handle)


def is_folder(channel: Path, path: str) -> bool:
    """Whether there is a folder of that name that can be entered."""
    try:
        handle = qga.ask(channel, "guest-file-open", SECONDS, path=f"{path}/.", mode="r")
    except qga.AgentRefused:
        return False
    qga.ask(channel, "guest-file-close", SECONDS, handle=handle)
    return True

"""Failures in reports: paths of the host's files are shortened to their last part."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from core.contract.bounds import shortened
from core.contract.errors import CorralError
from core.contract.messages import Failure

_folders: set[str] = set()


def hide_paths_below(*folders: Path) -> None:
    """From now on nothing below these folders is named by its whole path."""
    for folder in folders:
        _folders.update({str(folder), str(folder.resolve())})
    _folders.discard("/")


def hidden(text: str) -> str:
    """The text with such paths cut down."""
    for folder in sorted(_folders, key=len, reverse=True):
        text = re.sub(rf"{re.escape(folder)}(/[^\s'\":,;()]*)?(?![\w.-])", _last_part, text)
    return text


def hidden_in(details: dict[str, Any]) -> dict[str, Any]:
    """The same for the texts among the details of an error."""
    return {name: hidden(value) if isinstance(value, str) else value for name, value in details.items()}


def failure_of(error: CorralError) -> Failure:
    """An expected error as it travels, without the paths of this host."""
    return Failure(error.code, shortened(hidden(error.message)), error.retryable, hidden_in(error.details))


def _last_part(path: re.Match[str]) -> str:
    return (path[1] or "").rstrip("/").rpartition("/")[2] or "a folder of the host"

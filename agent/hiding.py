"""What an agent says does not tell where its host keeps its files: paths in them are cut down to their last part."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

_folders: set[str] = set()


def keep(*folders: Path) -> None:
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


def _last_part(path: re.Match[str]) -> str:
    return (path[1] or "").rstrip("/").rpartition("/")[2] or "a folder of the host"

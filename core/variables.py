"""A variable of the environment, read as its type."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

RANGE = "-"
_MEANINGS = {"`int`": "a whole number", "`bool`": "1 or 0", "`array` of length 2": "a range like 20000-31999"}


@dataclass(frozen=True)
class Variable:
    """The variable of a setting, and what it means. `split`: what lies between the items of a list."""

    name: str
    about: str
    split: str = ""
    secret: bool = False


def read(variable: Variable, hint: Any, text: str) -> Any:
    """The value of that type; `ValueError` says what is wrong with it."""
    try:
        value = msgspec.convert(_items(text, variable), hint, strict=False, dec_hook=_converted)
    except msgspec.ValidationError as error:
        raise ValueError(_reason(error)) from None
    if variable.split == RANGE and value[0] > value[1]:
        raise ValueError("the first number must not be above the second")
    return value


def _items(text: str, variable: Variable) -> str | list[str]:
    if not variable.split:
        return text
    parts = text.replace(" ", ",").split(",") if variable.split == "," else text.split(variable.split)
    return [part.strip() for part in parts if part.strip()]


def _converted(kind: type, text: str) -> Any:
    """What msgspec does not know: a path, or a network."""
    if kind is Path:
        return Path(text).expanduser().absolute()
    return ipaddress.ip_network(text)


def _reason(error: msgspec.ValidationError) -> str:
    """msgspec's words, without where in a list the value is, and with types named for people."""
    words = re.sub(r" - at `.*", "", str(error)).replace(", got `str`", "")
    for kind, meaning in _MEANINGS.items():
        words = words.replace(kind, meaning)
    return words[:1].lower() + words[1:]

"""Holds an answer against a document's example: every field is there, in the form that the example shows."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

_CHOICE = re.compile(r"[\w-]+(?:\|[\w-]+)+")
_MAC = re.compile(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}")
_MEASURED = ("_gb", "_mb", "_percent", "_seconds", "_ms")
"""Endings of the names of what is measured, and may have a fraction where the example's number has none."""


def differences(example: Any, answer: Any, where: str = "") -> list[str]:
    """What of the example the answer lacks or says otherwise; fields of the answer's own are fine."""
    return list(_compare(example, answer, where or "answer"))


def filled(example: Any) -> Any:
    """A request as the example shows it, where it leaves a choice with the first."""
    if isinstance(example, dict):
        return {name: filled(value) for name, value in example.items()}
    if isinstance(example, list):
        return [filled(value) for value in example]
    return example.split("|")[0] if isinstance(example, str) and _CHOICE.fullmatch(example) else example


def _compare(example: Any, answer: Any, where: str) -> Iterator[str]:
    if isinstance(example, dict):
        yield from _compare_objects(example, answer, where)
    elif isinstance(example, list):
        if not isinstance(answer, list) or not answer:
            yield f"{where}: no list with something in it, but {answer!r}"
        else:
            for number, item in enumerate(answer):
                yield from _compare(example[0], item, f"{where}[{number}]")
    elif isinstance(example, str):
        if not isinstance(answer, str) or not _form_of(example)(answer):
            yield f"{where}: {answer!r} is not like {example!r}"
    elif not _is_number_like(example, answer, where):
        yield f"{where}: {answer!r} is not like {example!r}"


def _compare_objects(example: dict[str, Any], answer: Any, where: str) -> Iterator[str]:
    if not isinstance(answer, dict):
        yield f"{where}: no object, but {answer!r}"
        return
    for name, value in example.items():
        if name not in answer:
            yield f"{where}: '{name}' is missing"
        elif name != "details" or where == "answer":  # of an entry of a log, what it tells depends on what was done
            yield from _compare(value, answer[name], f"{where}.{name}")


def _form_of(example: str) -> Callable[[str], bool]:
    """What a text must be to be like the example's."""
    if _CHOICE.fullmatch(example):
        return lambda text: text in example.split("|")
    if re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", example):
        return _is_moment
    if example.startswith("sha256:"):
        return lambda text: re.fullmatch(r"sha256:[0-9a-f]{64}", text) is not None
    if example.endswith(" successfully") or example == "Port forward configured":
        return lambda text: text == example
    if _MAC.fullmatch(example):
        return lambda text: _MAC.fullmatch(text) is not None
    if re.fullmatch(r"\d+\.\d+\.\d+\.\d+", example):
        return _is_address
    return bool


def _is_moment(text: str) -> bool:
    try:
        return text.endswith("Z") and datetime.fromisoformat(text) is not None
    except ValueError:
        return False


def _is_address(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).version == 4
    except ValueError:
        return False


def _is_number_like(example: Any, answer: Any, where: str) -> bool:
    if isinstance(example, bool) or isinstance(answer, bool):
        return isinstance(example, bool) and isinstance(answer, bool)
    if isinstance(example, int) and not where.endswith(_MEASURED):
        return isinstance(answer, int)
    return isinstance(answer, int | float)

"""Texts of guests and of other users, made safe for a terminal."""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any

import click

# What terminals obey, and what turns the order of letters round or hides them; but for line ends.
_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_RAW = re.compile(r"[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str, *, lines: bool = False) -> str:
    """With each character that is no letter to be seen written as Python writes it; `lines`: line ends stay."""
    return "".join(
        letter
        if unicodedata.category(letter) not in _CATEGORIES or (lines and letter == "\n")
        else letter.encode("unicode_escape").decode()
        for letter in text
    )


class Sentence(click.ClickException):
    """What went wrong, and the code to end with."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code

    @property
    def exit_code(self) -> int:  # type: ignore[override]
        """What `click` ends the process with."""
        return self.code


def as_json(data: Any, **options: Any) -> str:
    """JSON for people and programs, in which a program reads the same, and a terminal obeys nothing."""
    text = json.dumps(data, ensure_ascii=False, **options)
    return _RAW.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def as_yaml(data: Any) -> str:
    """The same of YAML, which is all in ASCII where it has such a character."""
    import yaml

    text = str(yaml.safe_dump(data, sort_keys=False, allow_unicode=True))
    return str(yaml.safe_dump(data, sort_keys=False)) if _RAW.search(text) else text

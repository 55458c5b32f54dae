"""Pure: labels, which administrators give to hosts, and the terms by which hosts are chosen. As Kubernetes has them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from core.contract.errors import Invalid

Labels = Mapping[str, str]
MOST = 64  # of a host, and terms at once
LONGEST_KEY = 253 + 1 + 63
KEY = re.compile(
    r"((?=[^/]{1,253}/)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*/)?"
    r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
)
VALUE = re.compile(r"([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?")
KEY_SAYS = (
    "a label's key must have 1 to 63 letters, digits, '.', '_' or '-', and begin and end with a letter or digit; it may"
    " stand behind a domain and '/'"
)
VALUE_SAYS = (
    "a label's value must have at most 63 letters, digits, '.', '_' or '-', and begin and end with a letter or digit"
)


@dataclass(frozen=True)
class Term:
    """What a host's labels are to be: that value of the key, or any if it is None; the opposite if `negated`."""

    key: str
    value: str | None = None
    negated: bool = False

    def __str__(self) -> str:
        if self.value is None:
            return f"!{self.key}" if self.negated else self.key
        return f"{self.key}{'!=' if self.negated else '='}{self.value}"

    def holds(self, labels: Labels) -> bool:
        """Whether they are so; a host without the key has no value of it."""
        there = self.key in labels if self.value is None else labels.get(self.key) == self.value
        return there != self.negated


def term(text: str) -> Term:
    """One of "zone=a", "zone!=a", "zone" and "!zone"; `Invalid` for what is none."""
    key, sign, value = text.strip().partition("=")
    if not sign:
        return Term(_key(key.removeprefix("!"), text), negated=key.startswith("!"))
    return Term(_key(key.removesuffix("!"), text), _value(value.removeprefix("="), text), negated=key.endswith("!"))


def terms(text: str) -> tuple[Term, ...]:
    """Several, with commas between them; `Invalid` for what are none."""
    found = tuple(term(each) for each in text.split(",")) if text.strip() else ()
    if len(found) > MOST:
        raise Invalid(f"there are {len(found)} terms for labels: give at most {MOST}")
    return found


def all_hold(wanted: Iterable[Term], labels: Labels) -> bool:
    """Whether a host with those labels is one that was asked for."""
    return all(each.holds(labels) for each in wanted)


def as_texts(labels: Labels) -> list[str]:
    """As people write them, by key."""
    return [f"{key}={value}" for key, value in sorted(labels.items())]


def _key(key: str, text: str) -> str:
    if not KEY.fullmatch(key):
        raise Invalid(
            f"'{text[:200]}' is not a term for labels, such as 'zone=a', 'zone!=a', 'zone' or '!zone': {KEY_SAYS}"
        )
    return key


def _value(value: str, text: str) -> str:
    if not VALUE.fullmatch(value):
        raise Invalid(f"'{text[:200]}' is not a term for labels, such as 'zone=a': {VALUE_SAYS}")
    return value

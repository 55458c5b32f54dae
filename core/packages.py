"""The Debian packages that parts of Corral need: packages.txt, which scripts/setup reads too. No library needed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

LIST = Path(__file__).with_name("packages.txt")


@dataclass(frozen=True)
class Package:
    """A package that a role needs; `brings` is a file of it, with a `*` where its path has a version in it."""

    role: str
    name: str
    brings: str


def read() -> list[Package]:
    """All of them, in their order."""
    lines = [line.split() for line in LIST.read_text().splitlines()]
    return [Package(*fields) for fields in lines if fields and not fields[0].startswith("#")]


def install(names: Iterable[str]) -> str:
    """The command that installs these, for a shell; "" for none."""
    wanted = " ".join(names)
    return f"sudo apt-get install --no-install-recommends {wanted}" if wanted else ""

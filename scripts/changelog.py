"""The changelog of a release: the section "Unreleased" becomes the section of a version."""

from __future__ import annotations

import re
from datetime import date

_UNRELEASED = "## Unreleased\n"
_SECTION = re.compile(r"^## (\d+\.\d+\.\d+)\b.*$", re.MULTILINE)
_NEXT = re.compile(r"^## ", re.MULTILINE)
_ENTRY = re.compile(r"^- \S", re.MULTILINE)
_VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")
_ASSIGNED = re.compile(r'^VERSION = "([^"]+)"$', re.MULTILINE)


class Refused(Exception):
    """Why there is no release, and what to do about it."""


def unreleased(text: str) -> str:
    """What stands under "Unreleased"; `Refused` when there is no such section, or no entry in it."""
    before, heading, after = text.partition(_UNRELEASED)
    if not heading or (before and not before.endswith("\n")):
        raise Refused('CHANGELOG.md has no section "## Unreleased"')
    following = _NEXT.search(after)
    section = after[: following.start()] if following else after
    if not _ENTRY.search(section):
        raise Refused('CHANGELOG.md has nothing under "Unreleased": there is nothing to release')
    return section


def cut(text: str, version: str, day: date) -> str:
    """The changelog with that section under the version and its date, and an empty "Unreleased" above it."""
    section = unreleased(text)
    before, _, after = text.partition(_UNRELEASED)
    former = after[len(section) :]
    made = f"{before}{_UNRELEASED}\n## {version} ({day.isoformat()})\n\n{section.strip()}\n"
    return f"{made}\n{former}" if former else made


def check_version(text: str, wanted: str, present: str) -> None:
    """`Refused` unless `wanted` is x.y.z, has no section yet, and is no step back from `present` or a release."""
    if not _VERSION.fullmatch(wanted):
        raise Refused(f"VERSION={wanted} is not a version like 1.2.3")
    released = _SECTION.findall(text)
    if wanted in released:
        raise Refused(f"{wanted} was released already: CHANGELOG.md has a section of it")
    newest = max([present, *released], key=_number)
    if _number(wanted) < _number(newest):
        raise Refused(f"VERSION={wanted} is lower than {newest}")


def version_of(module: str) -> str:
    """The version that the text of core/version.py has."""
    found = _ASSIGNED.search(module)
    if found is None:
        raise Refused('core/version.py has no line VERSION = "x.y.z"')
    return found[1]


def with_version(module: str, version: str) -> str:
    """The text of core/version.py with that version."""
    version_of(module)
    return _ASSIGNED.sub(f'VERSION = "{version}"', module)


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))

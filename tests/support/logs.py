"""Shows with a test that failed what its fleet's processes logged of errors: the folder is gone afterwards."""

from __future__ import annotations

import re
from collections.abc import Generator

import pytest

from cli.fleet.fleet import Fleet

MOST_LINES = 80
# A line that begins one of ours (core/log.py), at a level that asks for a look.
_BEGINS, _WORTH = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"), re.compile(r" (WARNING|ERROR|CRITICAL) ")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Of the fleets among what the test was given."""
    report = yield
    if report.failed:
        given = getattr(item, "funcargs", {}).values()
        fleets = {id(each): each for each in given if isinstance(each, Fleet)}
        for fleet in fleets.values():
            for log in sorted((fleet.home / "logs").glob("*.log")):
                text = errors(log.read_text(errors="replace"))
                if text:
                    report.sections.append((f"errors in {log.name}", text))
    return report


def errors(text: str) -> str:
    """The last of a log's lines that are warnings or worse, with what belongs to them."""
    kept, worth = list[str](), False
    for line in text.splitlines():
        if _BEGINS.match(line):
            worth = _WORTH.search(line) is not None
        if worth:
            kept.append(line)
    return "\n".join(kept[-MOST_LINES:])

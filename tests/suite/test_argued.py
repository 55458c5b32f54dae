"""Whatever a test needs a reason for has one in docs/testing.md."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support import argued, skips

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "testing.md").read_text()
_ROW = re.compile(r"^\| `([^`]+)` \| (\w+) \| (\d+) \| (\S.*) \|$", re.MULTILINE)
_FORESEEN = re.compile(r"^\| `([^`]+)` \| `([^`]+)` \| (\S.*) \|$", re.MULTILINE)


def test_each_sleep_clock_chance_and_skip_has_its_reason() -> None:
    listed = {(path, kind): int(number) for path, kind, number, _ in _ROW.findall(DOCUMENT)}
    there = dict(argued.found(ROOT / "tests"))
    assert there == listed, "docs/testing.md lists each with its reason: is there no event, order or count instead?"


def test_each_skip_that_ci_foresees_has_its_reason() -> None:
    listed = {place: why.replace("\\|", "|") for place, why, _ in _FORESEEN.findall(DOCUMENT)}
    assert listed == skips.ALLOWED


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("time.sleep(1)", "sleep"),
        ("from gevent import sleep\nsleep(1)", "sleep"),
        ("began = time.monotonic()", "clock"),
        ("assert time.time() - began < 5", "clock"),
        ("until(ready, 5)", "clock"),
        ("until(ready, seconds=5)", "clock"),
        ("random.randint(1, 2)", "chance"),
        ("random.Random()", "chance"),
        ("os.urandom(5)", "chance"),
        ("assert answer.status_code in (200, 202)", "statuses"),
        ("assert answer.status_code in {400, 422}", "statuses"),
        ("pytest.skip('no luck')", "skip"),
        ("pytestmark = pytest.mark.skipif(True, reason='no luck')", "skip"),
    ],
)
def test_what_needs_a_reason_is_seen(source: str, kind: str) -> None:
    assert list(argued.kinds(source)) == [kind]


@pytest.mark.parametrize(
    "source",
    ["until(ready)", "at = time.time()", "random.Random(4).shuffle(x)", "assert status == 200", "assert x in (1, 2)"],
)
def test_what_needs_none_is_left_alone(source: str) -> None:
    assert list(argued.kinds(source)) == []

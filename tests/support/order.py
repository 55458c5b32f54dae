"""`--shuffle SEED`: groups of tests in a random order, and each group's tests, to see that order does not matter."""

from __future__ import annotations

import random

import pytest

from tests.support import tiers


def pytest_addoption(parser: pytest.Parser) -> None:
    """One whole number: the same one gives the same order."""
    parser.addoption("--shuffle", type=int, metavar="SEED", help="run the tests in the random order of that seed")


def pytest_report_header(config: pytest.Config) -> str | None:
    """How to see it again."""
    seed = config.getoption("shuffle")
    return None if seed is None else f"order: random, again with --shuffle {seed}"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Groups stay whole: what they share is made once."""
    seed = config.getoption("shuffle")
    if seed is None:
        return
    groups: dict[str, list[pytest.Item]] = {}
    for item in items:
        groups.setdefault(tiers.group(item), []).append(item)
    generator = random.Random(seed)
    order = list(groups.values())
    generator.shuffle(order)
    for group in order:
        generator.shuffle(group)
    items[:] = [item for group in order for item in group]

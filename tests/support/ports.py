"""Processes that run tests at the same time choose their ports from different ranges."""

from __future__ import annotations

import os

import pytest

FIRST, LAST = 20_000, 32_000
_SHARES = 8


def pytest_configure(config: pytest.Config) -> None:
    """What is started from here inherits it."""
    worker = getattr(config, "workerinput", {}).get("workerid", "gw0")
    each = (LAST - FIRST) // _SHARES
    first = FIRST + int(worker.removeprefix("gw")) % _SHARES * each
    os.environ["CORRAL_PORTS"] = f"{first}-{first + each - 1}"

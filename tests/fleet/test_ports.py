"""Ports for a fleet's processes: free now, and given to nobody else of this process since."""

from __future__ import annotations

import pytest

from cli.fleet import ports
from cli.fleet.processes import StartFailed


def test_none_is_chosen_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    first = ports.choose(3)
    monkeypatch.setenv("CORRAL_PORTS", f"{first}-{first + 2}")
    with pytest.raises(StartFailed, match="set CORRAL_PORTS to another range"):
        ports.choose()

"""What is installed below a folder of the test's own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli.install.commands import install


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The folder that stands for `/`."""
    return tmp_path / "root"


def installed(role: str, root: Path, *options: str, prefix: str = "/srv/corral") -> Result:
    """What `corral install` says."""
    return CliRunner().invoke(install, [role, "--root", str(root), "--prefix", prefix, *options])


@pytest.fixture
def units(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Both roles' units, for the Corral that runs the tests, which may be in a folder that services do not see."""
    monkeypatch.setattr("cli.install.units.HIDDEN", ())
    for role in ("control", "agent"):
        assert installed(role, root, prefix=sys.prefix).exit_code == 0
    return root / "etc" / "systemd" / "system"

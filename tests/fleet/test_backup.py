"""A fleet of `corral up` and its backup, taken while it runs and at rest, and restored at rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.fleet.fleet import Fleet
from cli.fleet.plan import FleetPlan
from cli.main import main
from tests.support.clients import administrator, new_user


@pytest.fixture
def corral(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """The command line beside a fleet's home; it has to end with `code`."""
    for name in ("DATABASE_URL", "REDIS_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CORRAL_HOME", str(tmp_path / "home"))

    def run(*words: object, code: int = 0) -> str:
        result = CliRunner().invoke(main, [str(word) for word in words])
        assert result.exit_code == code, result.output
        return result.output

    return run


def test_a_fleet_is_brought_back_to_what_it_was(corral: Callable[..., str], tmp_path: Path) -> None:
    home = tmp_path / "home"
    plan = FleetPlan(home, home / "images", hypervisors=("fake",), agents=1, flower=False, durable=False, image=False)
    running_file, resting_file = tmp_path / "running", tmp_path / "resting"
    assert "there is no fleet in" in corral("backup", running_file, code=1)
    with Fleet(plan) as fleet:
        user = new_user(fleet)
        assert "2 users" in corral("backup", running_file)
        assert "a fleet runs in" in corral("restore", running_file, "--replace", code=1)
    assert "2 users" in corral("backup", resting_file)
    with Fleet(replace(plan)) as fleet:
        other = new_user(fleet)
    assert "--replace" in corral("restore", resting_file, code=1)
    corral("restore", resting_file, "--replace")
    with Fleet(replace(plan)) as fleet:
        url = f"{fleet.url}/api/v1"
        known, unknown = replace(user, url=url), replace(other, url=url)
        assert known.call("GET", "/vms").status_code == 200  # its token too
        assert unknown.call("GET", "/vms").status_code == 401
        assert administrator(fleet).call("GET", "/hosts").json()["hosts"][0]["status"] == "online"

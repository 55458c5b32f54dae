"""`corral install`: what is put where, and what a second one leaves alone."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

import deploy
from cli.install import units
from tests.deploy.conftest import installed

SHIPPED = deploy.FOLDER / "systemd"


def files(root: Path) -> dict[str, str]:
    return {str(path.relative_to(root)): path.read_text() for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("role", sorted(units.ROLES))
def test_all_of_a_role_is_there_and_a_second_time_changes_nothing(role: str, root: Path) -> None:
    first = installed(role, root)
    put = files(root)
    assert first.exit_code == 0, first.output
    assert {Path(path).name for path in put} == {
        name.replace(".sysusers", ".conf") for name in (*units.ROLES[role], f"{role}.env")
    }
    assert "enable --now" in first.output
    assert not any("/opt/corral" in text or "@SECRET@" in text for text in put.values())
    assert "ExecStart=/srv/corral/bin/python" in put[f"etc/systemd/system/{units.ROLES[role][0]}"]
    second = installed(role, root)
    assert {line.split()[0] for line in second.output.splitlines()} == {"same", "kept"}
    assert files(root) == put


def test_every_file_of_the_folder_is_some_roles() -> None:
    named = {name for names in units.ROLES.values() for name in names} | {f"{role}.env" for role in units.ROLES}
    assert {path.name for path in SHIPPED.iterdir()} == named


def test_settings_are_the_operators_and_known_to_root_alone(root: Path) -> None:
    installed("control", root)
    settings, unit = root / "etc/corral/control.env", root / "etc/systemd/system/corral-api.service"
    assert settings.stat().st_mode & 0o777 == 0o600
    assert unit.stat().st_mode & 0o777 == 0o644
    secrets = [line.split("=")[1] for line in settings.read_text().splitlines() if line.startswith("CORRAL_METRICS_T")]
    assert len(secrets[0]) >= 32
    settings.write_text("REDIS_URL=redis://elsewhere\n")
    unit.write_text("[Service]\n")
    again = installed("control", root)
    assert settings.read_text() == "REDIS_URL=redis://elsewhere\n"
    assert "Restart=always" in unit.read_text()
    assert f"changed {unit}" in again.output
    assert "systemctl restart corral-api" in again.output


def test_a_dry_run_says_the_same_and_writes_nothing(root: Path) -> None:
    told = installed("agent", root, "--dry-run")
    assert told.exit_code == 0
    assert not root.exists()
    assert told.output == installed("agent", root).output


@pytest.mark.parametrize("prefix", ["/root/corral", "/home/ada/venv", "/run/user/1000/venv"])
def test_a_place_that_a_service_does_not_see_is_refused(root: Path, prefix: str) -> None:
    told = installed("agent", root, prefix=prefix)
    assert told.exit_code == 1
    assert "where a service may not look" in told.output
    assert not root.exists()


def test_only_root_and_only_where_systemd_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(Path, "is_dir", lambda _: True)
    assert "only root may write" in units.refusal(Path("/"), Path("/opt/corral"))
    monkeypatch.setattr(Path, "is_dir", lambda _: False)
    assert "not run by systemd" in units.refusal(Path("/"), Path("/opt/corral"))


def test_systemd_makes_the_user(root: Path) -> None:
    installed("control", root)
    subprocess.run(["systemd-sysusers", f"--root={root}"], check=True, capture_output=True, timeout=20)
    assert (root / "etc/passwd").read_text().startswith("corral:")

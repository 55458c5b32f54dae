"""`corral doctor` on machines that have all, some and none of what `corral up` needs."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from cli.fleet.home import taken
from core import packages

FIELDS = {"role", "name", "state", "found", "fix"}
Doctor = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def doctor(tmp_path: Path) -> Doctor:
    """Runs it with these options and variables; the exit code, and what it says as JSON."""

    def run(*options: str, **variables: str) -> tuple[int, dict[str, Any]]:
        done = _run(tmp_path, [*options, "--output", "json"], variables)
        return done.returncode, json.loads(done.stdout)

    return run


def _run(home: Path, options: list[str], variables: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """By default with ports that are free and no servers of one's own."""
    environment = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")}
    environment |= {"CORRAL_HOME": str(home / "home"), "CORRAL_PORT": "0", "CORRAL_FLOWER_PORT": "0", **variables}
    command = [sys.executable, "-m", "cli.main", "doctor", *options]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, check=False)


def _states(said: dict[str, Any]) -> dict[str, str]:
    return {check["name"]: check["state"] for check in said["checks"]}


def _check(said: dict[str, Any], name: str) -> dict[str, str]:
    found: dict[str, str] = next(check for check in said["checks"] if check["name"] == name)
    return found


def _folder_with(folder: Path, *programs: str) -> str:
    """A PATH that has these programs alone."""
    folder.mkdir()
    for program in programs:
        (folder / program).symlink_to(str(shutil.which(program)))
    return str(folder)


def test_a_machine_with_everything(doctor: Doctor) -> None:
    code, said = doctor()
    assert (code, said["ok"]) == (0, True), said
    states = _states(said)
    for package in packages.read():
        if package.role in ("control", "qemu", "network", "bridge", "image"):
            assert states[package.name] == "ok", package
    assert states["qemu"] == "ok"


def test_the_form_of_its_json(doctor: Doctor) -> None:
    said = doctor("--hypervisor", "fake")[1]
    assert said.keys() == {"ok", "checks"}
    for check in said["checks"]:
        assert check.keys() == FIELDS
        assert all(isinstance(value, str) for value in check.values())
        assert check["state"] in ("ok", "missing", "optional")
        assert check["found"], check
    assert {"python", "user", "redis-server", "qemu", "/dev/kvm", "home", "images", "API", "Flower"} <= set(
        _states(said)
    )


def test_with_nothing_in_the_path(doctor: Doctor) -> None:
    code, said = doctor(PATH="/nonexistent")
    assert (code, said["ok"]) == (1, False)
    lacking = {check["name"] for check in said["checks"] if check["state"] == "missing"}
    assert {"redis-server", "util-linux", "qemu-system-x86", "qemu-utils", "nftables", "qemu"} <= lacking
    assert not {"virtualbox", "cloud-hypervisor", "dnsmasq-base", "uidmap"} & lacking
    assert _check(said, "redis-server")["fix"] == 'export PATH="$PATH":/usr/bin'
    assert _check(said, "nftables")["fix"] == 'export PATH="$PATH":/usr/sbin'
    assert "is not installed" in _check(said, "qemu")["found"]
    assert _check(said, "qemu")["fix"] == 'export PATH="$PATH":/usr/bin'


def test_what_is_not_asked_for_is_not_missed(doctor: Doctor, tmp_path: Path) -> None:
    path = _folder_with(tmp_path / "bin", "redis-server", "setpriv")
    code, said = doctor("--hypervisor", "fake", PATH=path)
    assert (code, said["ok"]) == (0, True), said
    assert _states(said)["qemu-system-x86"] == _states(said)["qemu"] == "optional"
    assert doctor(PATH=path)[0] == 1
    assert _states(doctor("--hypervisor", "virtualbox", PATH=path)[1])["virtualbox"] == "missing"


def test_servers_of_ones_own_need_no_private_ones(doctor: Doctor) -> None:
    given = {"DATABASE_URL": "postgresql://db.example/corral", "REDIS_URL": "redis://redis.example"}
    code, said = doctor("--hypervisor", "fake", PATH="/nonexistent", **given)
    assert (code, _states(said)["redis-server"]) == (0, "optional")


def test_a_package_that_is_not_there_is_named_with_its_command(
    doctor: Doctor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cli.doctor import programs
    from cli.doctor.checks import CheckState, Needs

    absent, install = tmp_path / "packages.txt", "sudo apt-get install --no-install-recommends some-server"
    absent.write_text("control  some-server  /usr/bin/no-such-server\ncontrol  nftables  /usr/sbin/nft\n")
    monkeypatch.setattr(packages, "LIST", absent)
    check, other = programs.check_all(Needs())
    assert (check.state, check.fix, other.state) == (CheckState.MISSING, install, CheckState.OK)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert programs.fix_of("control") == install + ' && export PATH="$PATH":/usr/sbin'


def test_a_port_that_is_taken_and_a_disk_that_is_full(doctor: Doctor, tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        code, said = doctor("--hypervisor", "fake", CORRAL_PORT=port, CORRAL_LOW_DISK_MB="1000000000")
        states = _states(said)
        assert (code, states["API"], states["Flower"]) == (1, "missing", "ok")
        assert states["home"] == states["images"] == "missing"
        with taken(tmp_path / "home"):
            said = doctor("--hypervisor", "fake", CORRAL_PORT=port)[1]
            assert _check(said, "API")["found"].endswith(f"(process {os.getpid()})")
    assert said["ok"]


def test_people_get_a_line_each(tmp_path: Path) -> None:
    done = _run(tmp_path, [], {"PATH": "/nonexistent"})
    *lines, last = done.stdout.splitlines()
    assert done.returncode == 1
    assert {line.split()[0] for line in lines} <= {"ok", "missing", "optional"}
    assert any(line.startswith("missing") and " -> " in line for line in lines)
    assert last.endswith("missing for `corral up`")

"""Which of VBoxManage's commands have limits: none that may start the server, as that and all VMs would have them."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.drivers.limits import countdown
from agent.drivers.virtualbox import disks
from agent.drivers.virtualbox.vboxmanage import VBoxManage
from core.contract.limits import ProcessLimits

SHOWS = """#!/bin/sh
echo "$1 $(ulimit -f) $(ulimit -t) $(ulimit -v)" >>"${0%/*}/said"
"""
NONE = "unlimited unlimited unlimited"
MB = 1 << 20


def test_only_what_works_by_itself_has_limits(tmp_path: Path) -> None:
    program, said, raw = tmp_path / "VBoxManage", tmp_path / "said", tmp_path / "a.raw"
    program.write_text(SHOWS)
    program.chmod(0o755)
    raw.write_bytes(bytes(MB))
    manage = VBoxManage(str(program))
    disks.convert(manage, raw, tmp_path / "a.vdi", countdown(60.0))
    disks.clone(manage, raw, tmp_path / "b.vdi", countdown(60.0))
    manage.run("startvm", "web")
    manage.ended("guestcontrol", "web", timeout=60.0, most_bytes=MB)
    first, *others = said.read_text().splitlines()
    assert first == f"convertfromraw {66 * MB // 512} {disks.CONVERT_SECONDS} {(2 << 30) // 1024}"
    assert others == [f"{verb} {NONE}" for verb in ("clonemedium", "closemedium", "startvm", "guestcontrol")]


def test_a_command_that_may_start_the_server_takes_no_limits(tmp_path: Path) -> None:
    for verb in ("startvm", "clonemedium", "list"):
        with pytest.raises(ValueError, match="server"):
            VBoxManage(str(tmp_path)).alone(verb, timeout=1.0, limits=ProcessLimits())

"""What a host says of its own troubles, without telling where it keeps its files."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from agent.drivers.limits import only_driver_failures
from agent.reports import failures
from agent.reports.failures import failure_of
from core.contract.errors import DriverFailure


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.ENOENT])
def test_what_the_files_of_a_host_refuse_names_none_of_them(number: int) -> None:
    @only_driver_failures
    def start() -> None:
        raise OSError(number, "refused", "/var/lib/corral/hosts/host-a/vms/vm-1/disk.qcow2")

    with pytest.raises(DriverFailure) as caught:
        start()
    assert caught.value.message == "start failed on the host: refused"
    assert "/" not in caught.value.message


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("{home}/vms/vm-1/state.json can't be read", "state.json can't be read"),
        ("'{home}/vms/vm-1' is in the way: {home}/vms/vm-1/disk.qcow2", "'vm-1' is in the way: disk.qcow2"),
        ("{home} is full", "a folder of the host is full"),
        ("'/root/x' is no file of the guest", "'/root/x' is no file of the guest"),
        ("{home}-other/x", "{home}-other/x"),
    ],
)
def test_no_failure_leaves_a_host_with_its_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, told: str
) -> None:
    monkeypatch.setattr(failures, "_folders", set())
    failures.hide_paths_below(tmp_path)
    failure = failure_of(DriverFailure(said.format(home=tmp_path), file=said.format(home=tmp_path)))
    assert failure.message == failure.details["file"] == told.format(home=tmp_path)

"""The records of disks that an agent keeps: which VM has each, what is told of them, and what may be removed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agent.media.media import DISKS
from agent.media.records import CLAIMS
from core.contract.messages import VmSpec
from core.contract.states import Kind
from tests.agent.hosts import Host
from tests.support.waiting import until

PLACE: dict[str, Any] = {"controller": "SATA Controller", "port": 1, "device": 0}
DISK = {**PLACE, "type": "hdd", "medium": "data.raw", "create_if_missing": True, "size_gb": 1, "medium_id": "med-1"}


def made(host: Host, **hardware: Any) -> VmSpec:
    """A VM of alice's."""
    vm = replace(host.vm(**hardware), owner="alice")
    assert host.do(Kind.CREATE, vm).phase == "succeeded"
    return vm


def told(host: Host) -> list[tuple[str, str, str, bool]]:
    """What the next inventory says of the disks."""
    host.inventories.clear()
    host.kill()
    host.start()
    found = until(host.inventory).media
    return [(each.id, each.name, each.vm_id, each.made) for each in found]


def files(host: Host) -> list[str]:
    """The disks and records that there are."""
    home = host.folder / "media"
    return sorted(path.name for folder in (DISKS, CLAIMS) for path in (home / folder).rglob("[!.]*") if path.is_file())


def test_a_disk_is_told_with_its_vm_and_deleted_once_it_is_free(running: Host) -> None:
    vm = made(running)
    assert running.do(Kind.DISK_ATTACH, vm, **DISK).phase == "succeeded"
    assert told(running) == [("med-1", "data.raw", vm.id, True)]
    refused = running.call("medium_delete", None, id="med-1")
    assert refused.failure.code == "disk_in_use"
    running.do(Kind.DISK_DETACH, vm, **PLACE)
    assert told(running) == [("med-1", "data.raw", "", True)]
    assert running.call("medium_delete", None, id="med-other").result == {}
    assert "data.raw" in files(running)
    for _ in range(2):
        assert running.call("medium_delete", None, id="med-1").result == {}
    assert files(running) == []
    assert told(running) == []


def test_an_attachment_that_fails_leaves_the_disk_free(running: Host) -> None:
    vm, other = made(running), made(running)
    assert running.do(Kind.DISK_ATTACH, vm, **DISK).phase == "succeeded"
    taken = running.do(Kind.DISK_ATTACH, other, **DISK)
    assert (taken.phase, taken.failure.code) == ("failed", "disk_in_use")
    assert told(running) == [("med-1", "data.raw", vm.id, True)]
    running.do(Kind.DISK_DETACH, vm, **PLACE)
    assert running.do(Kind.DISK_ATTACH, other, **DISK | {"medium_id": "med-2"}).phase == "succeeded"
    assert told(running) == [("med-1", "data.raw", other.id, True)]  # the same disk as before


@pytest.mark.parametrize("delete_disks", [False, True])
@pytest.mark.parametrize("dies", [False, True])
def test_a_vm_s_disks_stay_or_go_with_it(host: Host, delete_disks: bool, dies: bool) -> None:
    host.start()
    vm = made(host, fake={"linger": {"delete": 1.5}} if dies else None)
    host.do(Kind.DISK_ATTACH, vm, **DISK)
    operation = host.send(host.command(Kind.DELETE, vm, delete_disks=delete_disks))
    if dies:
        until(lambda: host.effects(vm, "delete"))
        host.kill()
        host.start()
    assert host.end(operation).phase == "succeeded"
    assert told(host) == ([] if delete_disks else [("med-1", "data.raw", "", True)])
    assert ("data.raw" in files(host)) is not delete_disks

"""A delete and a driver that neither ends nor listens."""

from __future__ import annotations

import threading
import time
import uuid
from pathlib import Path

import pytest
from redis import Redis as Client

from agent.commands import vm_locks
from agent.commands.outcomes import Outcomes
from agent.commands.runner import CommandFailed, Commands
from agent.drivers.base import DriverFolders, Progress
from agent.drivers.fake import FakeDriver
from agent.drivers.registry import Drivers
from agent.host.exits import Exits
from agent.host.known import KnownVms
from agent.reports.journal import Journal
from agent.reports.outbox import Outbox
from core.contract.commands import PARAMS
from core.contract.messages import VmSpec, command
from core.contract.states import Kind
from core.contract.vms import Observation
from tests.support.waiting import HANG_SECONDS


class Deaf(FakeDriver):
    """Takes its time, and never asks whether to go on."""

    def __init__(self, place: DriverFolders) -> None:
        super().__init__(place)
        self.begun, self.may_go_on = threading.Event(), threading.Event()

    def create(self, vm: VmSpec, progress: Progress, timeout: float) -> Observation:
        self.begun.set()
        assert self.may_go_on.wait(HANG_SECONDS)
        return super().create(vm, lambda _step, _percent: None, timeout)


def test_what_a_driver_makes_after_the_delete_is_removed(
    tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vm_locks, "DELETE_WAITS_SECONDS", 0.2)
    place = DriverFolders(tmp_path / "vms", tmp_path)
    place.vms.mkdir()
    drivers = Drivers(["fake"], place)
    deaf = Deaf(place)
    drivers._drivers["fake"] = deaf
    journal = Journal(tmp_path / "journal.sqlite")
    with Client.from_url(redis_url) as client:
        outbox = Outbox("h", client, journal)
        commands = Commands(
            drivers, journal, vm_locks.VmLocks(), Outcomes("h", drivers, journal, outbox, KnownVms(Exits()))
        )
        vm = VmSpec("vm", "web", "fake", "linux", 1, 1, 1)
        ended: list[str] = []
        creating = threading.Thread(target=run, args=(commands, Kind.CREATE, vm, ended))
        creating.start()
        assert deaf.begun.wait(HANG_SECONDS)
        run(commands, Kind.DELETE, vm, ended)
        deaf.may_go_on.set()
        creating.join(HANG_SECONDS)
    journal.close()
    assert ended == ["succeeded", "cancelled"]
    assert not (place.vms / "vm").exists()


def run(commands: Commands, kind: Kind, vm: VmSpec, ended: list[str]) -> None:
    try:
        commands.run(command(uuid.uuid4().hex, 1, vm, PARAMS[kind](), time.time() + 60))
        ended.append("succeeded")
    except CommandFailed as failed:
        ended.append(str(failed))

"""Fake VMs that go to another host: all files of their folders."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace

from agent.drivers import moving
from agent.drivers.base import Progress
from agent.drivers.capabilities.moving import Fetched
from agent.drivers.fake import state
from agent.drivers.fake.behaviour import behaviour, misbehave
from agent.drivers.fake.guests import FakeGuests
from agent.drivers.fake.state import STATE, FakeVmRecord
from core.contract.errors import DriverFailure, Invalid
from core.contract.messages import VmSpec, decode
from core.contract.moves import MovedFile
from core.contract.vms import Observation


class FakeMoves(FakeGuests):
    """Moving, over files."""

    def moved_files(self, vm: VmSpec, progress: Progress, timeout: float) -> list[MovedFile]:
        """All but what was begun and not ended."""
        vms = self._place.vms
        misbehave(behaviour(vms, vm), "moved_files", progress, timeout)
        found = state.of(vms, vm)
        if found.power != "stopped" or found.media:
            raise DriverFailure(f"VM '{vm.name}' has to be off, with no media attached", code="invalid_state")
        names = [name for name in moving.below(vms / vm.id) if not name.startswith((".", "drafts/"))]
        return moving.listed(vms / vm.id, names, progress)

    def moved_file(self, vm_id: str, file: MovedFile, first: int) -> Iterator[bytes]:
        """From the VM's folder."""
        return moving.read(self._place.vms / vm_id, file, first)

    def take_in(
        self, vm: VmSpec, files: list[MovedFile], fetched: Fetched, progress: Progress, timeout: float
    ) -> Observation:
        """The state comes last, and is counted."""
        vms = self._place.vms
        here = state.read(vms, vm.id)
        if here is not None and here.spec is not None and here.spec.home >= vm.home:
            return here.observation(vm.id)
        misbehave(behaviour(vms, vm), "take_in", progress, timeout)
        shutil.rmtree(vms / vm.id, ignore_errors=True)
        (vms / vm.id).mkdir(parents=True)
        moving.put(vms / vm.id, [file for file in files if file.name != STATE], fetched, progress)
        sent = [fetched(file).read_bytes() for file in files if file.name == STATE]
        try:
            taken = replace(decode(FakeVmRecord, sent[0]), power="stopped", media=[], spec=vm)
        except (Invalid, IndexError):
            raise moving.damaged("its state can't be read") from None
        state.write(vms, vm.id, taken)
        state.count_effect(vms, vm.id, "take_in")
        return taken.observation(vm.id)

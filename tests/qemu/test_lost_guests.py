"""Guests whose agent hangs, is forbidden things, or that go away while something is asked of them."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from agent.drivers.base import DriverFolders
from agent.drivers.capabilities.execs import UNKNOWN, Detached
from agent.drivers.capabilities.files import FileTarget
from agent.drivers.capabilities.guest import GuestExecRequest
from agent.drivers.qemu import QemuDriver
from agent.guest import command_locks, commands, files, patience, reading
from core.contract.errors import DriverFailure
from core.contract.messages import VmSpec
from core.contract.states import Observed
from tests.qemu.conftest import LONG, silent
from tests.support.waiting import until

if TYPE_CHECKING:
    from tests.qemu.conftest import Run
    from tests.support.clones import Clones

pytestmark = pytest.mark.timeout(400)  # an emulated guest boots three times
SILENT = "guest_agent_unresponsive"


@contextmanager
def wedged(driver: QemuDriver, vm: VmSpec) -> Iterator[None]:
    """A guest agent that is stopped, and goes on once the block has ended."""
    text = "(sleep 5; kill -STOP $(pidof qemu-ga); while [ ! -e /run/go-on ]; do sleep 1; done) >/dev/null 2>&1 &"
    driver.execute(vm, GuestExecRequest(f"rm -f /run/go-on; {text}", 30.0))
    until(lambda: code_of(lambda: driver.guest_interfaces(vm, 1.5)) == SILENT)
    yield


def code_of(asked: Callable[[], object]) -> str:
    """The code that a question fails with, "" if it does not."""
    try:
        asked()
    except DriverFailure as error:
        return error.code
    return ""


def upload(driver: QemuDriver, vm: VmSpec) -> None:
    driver.file_write(vm, "/root/x", iter([b"x"]), lambda: FileTarget("/root/x", 0o644))


def download(driver: QemuDriver, vm: VmSpec) -> None:
    with driver.file_read(vm, "/etc/hostname"):
        pass


def test_each_question_to_a_wedged_agent_ends_in_its_time_and_blames_it(
    driver: QemuDriver, place: DriverFolders, running: VmSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Detached(uuid.uuid4().hex, "sleep 4201")
    driver.exec_begin(running, before)
    with wedged(driver, running):
        for module, name in ((commands, "SILENCE_SECONDS"), (files, "SILENCE_SECONDS"), (reading, "SECONDS")):
            monkeypatch.setattr(module, name, 1.5)
        late = Detached(uuid.uuid4().hex, "sleep 4202")
        questions: list[Callable[[], object]] = [
            lambda: driver.execute(running, GuestExecRequest("sleep 4203", 2.0)),
            lambda: upload(driver, running),
            lambda: download(driver, running),
            lambda: driver.file_list(running, "/", False, 10),
            lambda: driver.exec_begin(running, late),
            lambda: driver.exec_get(running, before.id),
            lambda: driver.exec_output(running, before.id, "stdout", 0, 100),
            lambda: driver.exec_signal(running, before.id, "KILL"),
            lambda: driver.exec_delete(running, before.id),
            lambda: driver.guest_interfaces(running, 2.0),
        ]
        for ask in questions:
            with patience.ends_in(2.0):
                assert code_of(ask) == SILENT
        assert {each.id: each.state for each in driver.exec_list(running)}[before.id] == UNKNOWN
        assert driver.measure(running, 2.0).guest is None
        driver.pause(running, LONG)
        assert driver.resume(running, LONG).state is Observed.RUNNING
        driver.snapshot_create(running, "wedged", False, silent, LONG)
        seen = driver.stop(running, 20.0, silent, LONG)  # by the power button, which needs no agent
        assert seen.state is Observed.STOPPED
    monkeypatch.undo()
    driver.start(running, silent, LONG)
    # Its supervisor may have seen it end with the guest.
    assert {each.id: each.state for each in driver.exec_list(running)}[before.id] in ("lost", "exited")
    assert late.id not in {each.id for each in driver.exec_list(running)}


def test_what_a_wedged_agent_was_given_is_killed_once_it_goes_on(
    driver: QemuDriver, place: DriverFolders, running: VmSpec, run: Run
) -> None:
    text = "(sleep 5; kill -STOP $(pidof qemu-ga); sleep 20; kill -CONT $(pidof qemu-ga)) >/dev/null 2>&1 &"
    run(text)
    until(lambda: code_of(lambda: driver.guest_interfaces(running, 1.5)) == SILENT)
    assert code_of(lambda: run("sleep 4211", timeout=2.0)) == SILENT
    until(lambda: code_of(lambda: driver.guest_interfaces(running, 2.0)) == "")

    def swept() -> bool:
        driver.sweep_guests()  # as the agent does, again and again
        return command_locks.paths(place.vms / running.id) == []

    until(swept)
    assert run("pgrep -c -f 'sleep 4211$'").stdout == b"0\n"


def test_a_forced_stop_asks_no_guest(driver: QemuDriver, running: VmSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    with wedged(driver, running):
        for module, name in ((commands, "SILENCE_SECONDS"), (files, "SILENCE_SECONDS"), (reading, "SECONDS")):
            monkeypatch.setattr(module, name, 3600.0)  # it would be waited for until the test has failed
        driver.stop(running, 0.0, silent, LONG)


def test_a_guest_that_goes_away_says_how(driver: QemuDriver, running: VmSpec, run: Run) -> None:
    assert code_of(lambda: run("reboot -f", timeout=60.0)) == "guest_restarted"
    seen = driver.observe(running.id)
    assert seen.state is Observed.RUNNING
    assert "restarted itself" in (seen.reason or "")
    until(lambda: code_of(lambda: driver.guest_interfaces(running, 5.0)) == "")
    assert code_of(lambda: run("poweroff -f", timeout=60.0)) == "guest_stopped"
    seen = driver.observe(running.id)
    assert (seen.state, seen.reason) == (Observed.STOPPED, "the guest shut itself down")
    with pytest.raises(DriverFailure, match="shut itself down") as failure:
        run("true")
    assert failure.value.code == "vm_not_running"


def test_a_call_that_the_agent_forbids_is_named_with_its_setting(
    driver: QemuDriver, place: DriverFolders, vm: VmSpec, clones: Clones
) -> None:
    clones.start(driver, place.vms, vm)
    held = Detached(uuid.uuid4().hex, "sleep 4221")
    driver.exec_begin(vm, held)
    forbid = (
        "mkdir -p /etc/qemu; printf '[general]\\n%s=guest-exec,guest-exec-status,guest-file-open\\n' "
        "$(qemu-ga --help | grep -q block-rpcs && echo block-rpcs || echo blacklist) >/etc/qemu/qemu-ga.conf; "
        "(sleep 5; systemctl restart qemu-guest-agent) >/dev/null 2>&1 &"
    )
    driver.execute(vm, GuestExecRequest(forbid, 30.0))
    until(lambda: code_of(lambda: driver.file_list(vm, "/", False, 1)) == "guest_call_disabled")
    for ask in (
        lambda: driver.execute(vm, GuestExecRequest("true", 30.0)),
        lambda: upload(driver, vm),
        lambda: download(driver, vm),
        lambda: driver.exec_begin(vm, Detached(uuid.uuid4().hex, "true")),
        lambda: driver.exec_get(vm, held.id),
    ):
        with pytest.raises(DriverFailure, match=r"guest-(exec|file-open).*block-rpcs") as failure:
            ask()
        assert (failure.value.code, failure.value.retryable) == ("guest_call_disabled", False)
    assert driver.exec_list(vm)[0].state == UNKNOWN

"""Detached commands in a real guest: what only a real one can do to them."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from agent.drivers.capabilities.execs import Detached, GuestExec
from agent.drivers.qemu import QemuDriver
from core.contract.errors import DriverFailure
from core.contract.messages import VmSpec
from tests.support.waiting import until

if TYPE_CHECKING:
    from tests.qemu.conftest import Run


class Begun:
    """A command under way in the running guest."""

    def __init__(self, driver: QemuDriver, vm: VmSpec, command: str, **more: object) -> None:
        self._driver, self._vm = driver, vm
        self.id = uuid.uuid4().hex
        driver.exec_begin(vm, Detached(self.id, command, **more))  # type: ignore[arg-type]

    def seen(self) -> GuestExec:
        return self._driver.exec_get(self._vm, self.id)

    def wrote(self, text: bytes, stream: str = "stdout") -> None:
        """Waits until it has."""
        until(lambda: text in self._driver.exec_output(self._vm, self.id, stream, 0, 65536).data)

    def ended(self) -> GuestExec:
        until(lambda: self.seen().state != "running")
        return self.seen()


def test_a_trap_is_the_commands_own_and_its_end_too(driver: QemuDriver, running: VmSpec) -> None:
    begun = Begun(driver, running, "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.1; done")
    begun.wrote(b"ready")
    driver.exec_signal(running, begun.id, "TERM")
    found = begun.ended()
    assert (found.state, found.exit_code, found.signal) == ("exited", 0, "TERM")
    begun.wrote(b"bye")


def test_it_may_kill_itself_and_its_keeper_tells(driver: QemuDriver, running: VmSpec) -> None:
    found = Begun(driver, running, "kill -9 $$").ended()
    assert (found.state, found.exit_code) == ("exited", 137)


def test_it_outlives_the_guest_agent(driver: QemuDriver, running: VmSpec, run: Run) -> None:
    begun = Begun(driver, running, "echo one; sleep 4; echo two")
    begun.wrote(b"one")
    with pytest.raises(DriverFailure):
        run("systemctl restart qemu-guest-agent; sleep 60")
    assert begun.ended().exit_code == 0
    begun.wrote(b"two")


def test_past_its_timeout_its_children_are_dead(driver: QemuDriver, running: VmSpec, run: Run) -> None:
    command = "setsid -f sleep 4101 >/dev/null 2>&1; sleep 4102"
    begun = Begun(driver, running, command, timeout_seconds=1.0)
    while run("pgrep -c -x -f 'sleep 410[12]'").stdout != b"2\n":
        assert begun.seen().state == "running"

    def timed_out() -> bool:
        driver.exec_sweep()
        return begun.seen().state == "timed_out"

    until(timed_out)
    assert run("pgrep -c -x -f 'sleep 410[12]'").stdout == b"0\n"


def test_without_its_keeper_it_is_lost_and_dead(driver: QemuDriver, running: VmSpec, run: Run) -> None:
    begun = Begun(driver, running, "echo up; sleep 4103")
    begun.wrote(b"up")
    run(f"kill -9 $(cat /var/lib/corral/execs/{begun.id}.pid)")
    assert begun.ended().state == "lost"
    assert run("pgrep -c -x -f 'sleep 4103'").stdout == b"0\n"


def test_without_cgroups_its_mark_is_enough(driver: QemuDriver, running: VmSpec, run: Run) -> None:
    assert run("mount -t tmpfs none /sys/fs/cgroup").exit_code == 0
    try:
        begun = Begun(driver, running, "echo up; sleep 4104")
        begun.wrote(b"up")
        assert driver.exec_signal(running, begun.id, "KILL").state == "killed"
        assert run("pgrep -c -x -f 'sleep 4104'").stdout == b"0\n"
    finally:
        run("umount /sys/fs/cgroup")


def test_it_starts_where_and_with_what_it_is_told(driver: QemuDriver, running: VmSpec, run: Run) -> None:
    environment = {"PATH": "/nowhere:/bin", "LC_ALL": "de_DE.UTF-8", "A": "b  'c'\n$d"}
    begun = Begun(driver, running, 'echo "$A|$PWD|$PATH|$#|$CORRAL_KEEPER"; umask; read x || echo no input',
                  working_directory="/usr/lib", environment=environment)  # fmt: skip
    assert begun.ended().exit_code == 0
    begun.wrote(b"b  'c'\n$d|/usr/lib|/nowhere:/bin|0|\n0022\nno input\n")
    with pytest.raises(DriverFailure, match="/no/such") as failure:
        Begun(driver, running, "true", working_directory="/no/such")
    assert failure.value.code == "invalid_request"
    driver.exec_delete(running, begun.id)
    assert run(f"ls /var/lib/corral/execs/{begun.id}.* 2>/dev/null | wc -l").stdout == b"0\n"


def test_a_restart_of_the_guest_from_within_loses_it(driver: QemuDriver, running: VmSpec, run: Run) -> None:
    begun = Begun(driver, running, "echo up; sleep 4105")
    begun.wrote(b"up")
    run("(sleep 0.3; sync; systemctl reboot --force --force) >/dev/null 2>&1 &")
    until(lambda: begun.seen().state == "lost", despite=DriverFailure)  # raised on its way down, and up
    begun.wrote(b"up")

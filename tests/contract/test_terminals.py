"""Laws of every driver whose guests have terminals for commands."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from agent.drivers.capabilities.execs import Detached, GuestExec, Size
from core.contract.errors import DriverFailure
from core.contract.messages import VmSpec
from tests.support.waiting import until

if TYPE_CHECKING:
    from tests.contract.conftest import Bench, EveryVerb

MIB = 1024 * 1024
SIZE = Size(33, 101)


@pytest.fixture(autouse=True)
def terminals(bench: Bench) -> None:
    """Not every driver has guests with terminals."""
    bench.need("terminals")


class Terminal:
    """A command on one."""

    def __init__(self, driver: EveryVerb, vm: VmSpec, command: str = "sh", size: Size | None = SIZE) -> None:
        self._driver, self._vm, self.id = driver, vm, uuid.uuid4().hex
        assert driver.exec_begin(vm, Detached(self.id, command, tty=size)).tty == (size is not None)

    def type(self, text: str) -> None:
        self._driver.exec_type(self._vm, self.id, text.encode())

    def resize(self, size: Size) -> None:
        self._driver.exec_resize(self._vm, self.id, size)

    def shown(self) -> bytes:
        return self._driver.exec_output(self._vm, self.id, "stdout", 0, MIB).data

    def shows(self, text: bytes) -> None:
        until(lambda: text in self.shown(), why=self.shown)

    def ended(self) -> GuestExec:
        until(lambda: self._driver.exec_get(self._vm, self.id).state != "running")
        return self._driver.exec_get(self._vm, self.id)


def test_what_is_typed_is_shown_and_read(driver: EveryVerb, running: VmSpec) -> None:
    terminal = Terminal(driver, running)
    terminal.type("echo a-$NONE-b; nonsense\r")
    terminal.shows(b"echo a-$NONE-b; nonsense\r\n")
    terminal.shows(b"nonsense: not found\r\n")
    terminal.type("exit 7\r")
    found = terminal.ended()
    assert (found.state, found.exit_code, found.tty) == ("exited", 7, True)
    assert driver.exec_output(running, terminal.id, "stderr", 0, MIB).data == b""
    terminal.type("too late")
    terminal.resize(SIZE)
    assert b"late" not in terminal.shown()


def test_it_has_the_size_that_it_is_given(driver: EveryVerb, running: VmSpec) -> None:
    terminal = Terminal(driver, running)
    terminal.type("stty size\r")
    terminal.shows(b"33 101\r\n")
    terminal.resize(Size(1, 65535))
    terminal.type("stty size\r")
    terminal.shows(b"1 65535\r\n")
    driver.exec_delete(running, terminal.id)


def test_ctrl_c_interrupts_what_runs_and_ctrl_d_ends(driver: EveryVerb, running: VmSpec) -> None:
    terminal = Terminal(driver, running)
    until(lambda: terminal.shown().endswith((b"# ", b"$ ")), why=terminal.shown)
    terminal.type("echo u''p; sleep 600\r")
    terminal.shows(b"\nup\r\n")
    terminal.type("\x03")
    terminal.type("stty size\r")
    terminal.shows(b"33 101\r\n")
    terminal.type("\x04")
    assert terminal.ended().state == "exited"
    other = Terminal(driver, running, "echo up; sleep 600")
    other.shows(b"up\r\n")
    other.type("\x03")
    assert (other.ended().state, other.ended().exit_code) == ("exited", 130)


def test_killed_it_is_gone(driver: EveryVerb, running: VmSpec) -> None:
    terminal = Terminal(driver, running, "echo up; sleep 600")
    terminal.shows(b"up\r\n")
    driver.exec_signal(running, terminal.id, "KILL")
    assert (terminal.ended().state, terminal.ended().exit_code) == ("killed", 137)


def test_only_a_command_that_has_one_is_typed_to(driver: EveryVerb, running: VmSpec) -> None:
    plain = Terminal(driver, running, "echo up; sleep 600", size=None)
    plain.shows(b"up\n")
    with pytest.raises(DriverFailure) as failure:
        plain.type("x")
    assert failure.value.code == "not_a_terminal"
    with pytest.raises(DriverFailure) as failure:
        plain.resize(SIZE)
    assert failure.value.code == "not_a_terminal"
    driver.exec_delete(running, plain.id)
    with pytest.raises(DriverFailure) as failure:
        plain.type("x")
    assert failure.value.code == "exec_not_found"

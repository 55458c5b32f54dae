"""The end of a VM's process is told when it comes, and once."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from agent.host.exits import Exits

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]


class Told:
    """Counts how often an end was told."""

    def __init__(self) -> None:
        self.count = 0
        self._changed = threading.Condition()

    def __call__(self) -> None:
        with self._changed:
            self.count += 1
            self._changed.notify_all()

    def within(self, seconds: float, count: int) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self.count >= count, seconds)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def ends(told: Told) -> Iterator[Exits]:
    """With its thread."""
    made = Exits()
    made.on_exit = told
    made.loop.start()
    yield made
    made.only([])
    made.loop.stopping.set()
    made.loop.join(10)


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    started = subprocess.Popen(SLEEP)
    yield started
    started.kill()
    started.wait(10)


def test_an_end_is_told_when_it_comes_and_once(ends: Exits, told: Told, process: subprocess.Popen[bytes]) -> None:
    ends.only([process.pid, None])
    assert not told.within(1.5, 1), "it runs"
    process.kill()
    assert told.within(10, 1)
    for _ in range(3):  # as long as the VM is told to have it
        ends.only([process.pid])
        ends.also(process.pid)
    assert not told.within(1.5, 2)


def test_one_that_a_report_told_of_is_waited_for_at_once(
    ends: Exits, told: Told, process: subprocess.Popen[bytes]
) -> None:
    ends.also(None)
    ends.also(process.pid)
    process.kill()
    assert told.within(10, 1)


def test_one_that_no_vm_has_any_more_is_let_go(ends: Exits, told: Told, process: subprocess.Popen[bytes]) -> None:
    ends.only([process.pid])
    ends.only([])
    process.kill()
    assert not told.within(1.5, 1)


def test_one_that_is_gone_already_hurts_nobody(ends: Exits, told: Told, process: subprocess.Popen[bytes]) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait(30)
    ends.only([gone.pid, process.pid])
    process.kill()
    assert told.within(10, 1)
    assert not told.within(0.5, 2)

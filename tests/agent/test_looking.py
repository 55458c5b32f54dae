"""One driver that hangs or fails blinds nobody to the others."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from agent.drivers.base import DriverFolders
from agent.drivers.fake import FakeDriver
from agent.host.looking import Looks
from core.contract.errors import DriverFailure


class Named(FakeDriver):
    """A fake driver that goes by another name."""

    def __init__(self, place: DriverFolders, name: str) -> None:
        super().__init__(place)
        self.name = name


@pytest.fixture
def drivers(tmp_path: Path) -> list[Named]:
    return [Named(DriverFolders(tmp_path / name, tmp_path), name) for name in ("good", "bad")]


def test_one_that_fails_says_why(drivers: list[Named]) -> None:
    def ask(driver: object) -> str:
        if driver is drivers[1]:
            raise DriverFailure("VBoxManage can't be found")
        return "seen"

    assert Looks(ask).at(drivers) == ({"good": "seen"}, {"bad": "VBoxManage can't be found"})


def test_one_that_breaks_does_not_tell_how(drivers: list[Named]) -> None:
    def ask(driver: object) -> str:
        if driver is drivers[1]:
            raise ZeroDivisionError
        return "seen"

    answers, problems = Looks(ask).at(drivers)
    assert answers == {"good": "seen"}
    assert "failed unexpectedly" in problems["bad"]


def test_one_that_hangs_is_not_waited_for_again_and_may_come_back(drivers: list[Named]) -> None:
    free, asked = threading.Event(), threading.Semaphore(0)

    def ask(driver: object) -> str:
        if driver is drivers[1]:
            asked.release()
            assert free.wait(60)
        return "seen"

    looks = Looks(ask, patience=0.5)
    for _ in range(3):
        answers, problems = looks.at(drivers)
        assert answers == {"good": "seen"}
        assert "has not answered" in problems["bad"]
    assert asked.acquire(timeout=10)
    assert not asked.acquire(blocking=False), "it was asked once"
    free.set()
    looks._open["bad"].thread.join(60)
    assert looks.at(drivers) == ({"good": "seen", "bad": "seen"}, {})

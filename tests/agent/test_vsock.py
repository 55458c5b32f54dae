"""The guest agent over a vsock, with a socket in the place of the hypervisor's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.guest import qga
from core.contract.errors import GuestTimeout
from tests.support.vsock_agent import VsockAgent

SECONDS = 20.0


@pytest.fixture
def guest(tmp_path: Path) -> Iterator[VsockAgent]:
    """One whose agent listens."""
    made = VsockAgent(tmp_path)
    yield made
    made.close()


def later(do: Callable[[], None]) -> Iterator[None]:
    """Does it at the first tick."""
    do()
    while True:
        yield


def test_it_is_asked_as_over_pipes(guest: VsockAgent, tmp_path: Path) -> None:
    qga.ask(tmp_path, "guest-ping", SECONDS)
    qga.tell(tmp_path, "guest-shutdown", SECONDS, mode="powerdown")
    qga.ask(tmp_path, "guest-ping", SECONDS)
    assert [each for each in guest.asked if each != "guest-sync-delimited"] == [
        "guest-ping",
        "guest-ping",
        "guest-shutdown",
        "guest-ping",
    ]


def test_one_that_does_not_listen_yet_is_waited_for(guest: VsockAgent, tmp_path: Path) -> None:
    guest.listens, ticks = False, later(lambda: setattr(guest, "listens", True))
    qga.wait(tmp_path, SECONDS, lambda: next(ticks))
    assert guest.asked[-1] == "guest-ping"


def test_one_that_hangs_up_as_it_starts_is_waited_for(guest: VsockAgent, tmp_path: Path) -> None:
    guest.hangs_up = 2
    qga.wait(tmp_path, SECONDS, lambda: None)
    assert guest.asked[-1] == "guest-ping"


def test_one_that_hangs_up_on_a_request_is_told_from_a_vm_that_is_off(guest: VsockAgent, tmp_path: Path) -> None:
    guest.hangs_up = 1
    with pytest.raises(qga.AgentHungUp):
        qga.ask(tmp_path, "guest-ping", SECONDS)
    guest.close()
    with pytest.raises(qga.AgentGone):
        qga.ask(tmp_path, "guest-ping", SECONDS)


def test_nobody_is_waited_for_no_longer_than_asked(guest: VsockAgent, tmp_path: Path) -> None:
    guest.listens = False
    with pytest.raises(GuestTimeout, match="is it running"):
        qga.ask(tmp_path, "guest-ping", 0.3)
    assert guest.calls > 1

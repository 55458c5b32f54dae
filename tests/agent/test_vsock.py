"""The guest agent over a vsock, with a socket in the place of the hypervisor's."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from agent.guest import qga, vsock
from core.contract.errors import GuestTimeout

SECONDS = 20.0


class VsockAgent:
    """What a hypervisor serves. `listens`: an agent is there; `hangs_up`: so often it goes before it answers.

    `calls`: how often somebody connected.
    """

    def __init__(self, folder: Path) -> None:
        self.listens, self.hangs_up, self.calls = True, 0, 0
        self.asked: list[str] = []
        self._server = socket.socket(socket.AF_UNIX)
        (folder / vsock.SOCKET).parent.mkdir()
        self._server.bind(str(folder / vsock.SOCKET))
        self._server.listen(4)
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """The VM is off."""
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                stream, _ = self._server.accept()
                self.calls += 1
                with stream, suppress(ConnectionError):
                    self._converse(stream)

    def _converse(self, stream: socket.socket) -> None:
        if stream.recv(64) != f"CONNECT {vsock.PORT}\n".encode() or not self.listens:
            return
        stream.sendall(b"OK 1073741824\n")
        if self.hangs_up:
            self.hangs_up -= 1
            return
        with stream.makefile("rb") as lines:
            for line in lines:
                request = json.loads(line.lstrip(qga.SENTINEL))
                self.asked.append(request["execute"])
                answer = {"return": request["arguments"].get("id", {})}
                marked = qga.SENTINEL if request["execute"] == "guest-sync-delimited" else b""
                stream.sendall(marked + json.dumps(answer).encode() + b"\n")


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
    assert qga.ask(tmp_path, "guest-ping", SECONDS) == {}
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
    with pytest.raises(GuestTimeout, match="nobody listens"):
        qga.ask(tmp_path, "guest-ping", 0.3)
    assert guest.calls > 1

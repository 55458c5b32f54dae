"""The channel to a guest agent, with one at its other end that does what a real one does once in a thousand times."""

from __future__ import annotations

import json
import os
import select
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.drivers.local import sizes
from agent.drivers.local.folder import LocalVmRecord
from agent.guest import qga
from core import settings
from core.contract import images as store
from core.contract.errors import GuestTimeout
from tests.qemu.conftest import IMAGE, spec

LONG = 20.0


class PipedAgent:
    """The other end: QEMU's pipes, and lines as they come through them."""

    def __init__(self, folder: Path) -> None:
        qga.make_channel(folder)
        (folder / qga.LOCK).write_bytes(qga.IN_STEP)
        self._in, self._out = (os.open(folder / name, os.O_RDWR) for name in (qga.IN, qga.OUT))
        self._got = b""
        self.read_bytes = 0

    def line(self) -> dict[str, Any]:
        """The next request, marker or not."""
        while b"\n" not in self._got:
            if not select.select([self._in], [], [], LONG)[0]:
                raise TimeoutError
            some = os.read(self._in, 4096)
            self.read_bytes += len(some)
            self._got += some
        line, _, self._got = self._got.partition(b"\n")
        found: dict[str, Any] = json.loads(line.removeprefix(qga.SENTINEL))
        return found

    def say(self, text: bytes) -> None:
        os.write(self._out, text)

    def answer(self, request: dict[str, Any]) -> None:
        """As qemu-ga does, where everything but a marker is answered by 7."""
        if request["execute"] == "guest-sync-delimited":
            self.say(qga.SENTINEL + json.dumps({"return": request["arguments"]["id"]}).encode() + b"\n")
        else:
            self.say(b'{"return": 7}\n')

    def close(self) -> None:
        for descriptor in (self._in, self._out):
            os.close(descriptor)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(qga, "MARK_SECONDS", 0.2)
    return tmp_path


@contextmanager
def guest(folder: Path, *turns: Callable[[PipedAgent], None]) -> Iterator[None]:
    """One that does these, one after the other."""
    its = PipedAgent(folder)
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(lambda: [turn(its) for turn in turns])
        try:
            yield
            done.result(LONG)
        finally:
            its.close()


def answers(its: PipedAgent) -> None:
    its.answer(its.line())


def loses(its: PipedAgent) -> None:
    its.line()


def test_a_request_and_its_answer(folder: Path) -> None:
    with guest(folder, answers, answers, answers, answers):
        assert [qga.ask(folder, "guest-file-open", LONG) for _ in range(2)] == [7, 7]


def test_an_agent_that_was_started_anew_is_told_from_one_that_is_slow(folder: Path) -> None:
    with guest(folder, answers, loses, answers), pytest.raises(qga.AgentRestarted):
        qga.ask(folder, "guest-file-open", LONG)
    with guest(folder, loses, loses, answers), pytest.raises(qga.AgentRestarted):
        qga.ask(folder, "guest-file-open", LONG)


def test_half_an_answer_and_then_another_agent(folder: Path) -> None:
    with guest(folder, answers, loses, lambda its: its.say(b'{"retu'), answers), pytest.raises(qga.AgentRestarted):
        qga.ask(folder, "guest-file-open", LONG)


def test_a_slow_answer_is_waited_for_and_what_comes_after_it_is_skipped(folder: Path) -> None:
    def is_slow(its: PipedAgent) -> None:
        got = [its.line() for _ in range(4)]  # ours with its marker, and two markers that came of waiting
        for request in got:
            its.answer(request)

    with guest(folder, is_slow, answers, answers, answers):  # to one marker alone first, as others were not waited for
        assert qga.ask(folder, "guest-file-open", LONG) == 7
        assert qga.ask(folder, "guest-file-open", LONG) == 7


def test_after_an_exchange_that_broke_nothing_is_asked_before_all_that_came_of_it(folder: Path) -> None:
    asked: list[str] = []

    def tells(its: PipedAgent) -> None:
        asked.append((request := its.line())["execute"])
        if len(asked) > 1:  # an agent that is slow: another marker comes
            its.answer(request)

    marker = "guest-sync-delimited"
    with guest(folder, loses, loses, *[tells] * 4):
        with pytest.raises(qga.AgentSilent):
            qga.ask(folder, "guest-file-open", 0.1)
        assert qga.ask(folder, "guest-file-open", LONG) == 7
    assert asked == [marker, marker, marker, "guest-file-open"]


@pytest.mark.parametrize(("length", "fills"), [(10, False), (3000, True), (10_000, True)])
def test_a_long_request_fills_whole_pages_and_a_short_one_none(folder: Path, length: int, fills: bool) -> None:
    read_bytes: list[int] = []

    def counts(its: PipedAgent) -> None:
        answers(its)
        answers(its)
        read_bytes.append(its.read_bytes)

    with guest(folder, counts):
        assert qga.ask(folder, "guest-file-open", LONG, path="x" * length) == 7
    assert (read_bytes[0] % qga.PAGE_BYTES == 0) is fills


def test_who_waits_for_a_boot_hears_of_an_agent_that_missed_the_first_words(folder: Path) -> None:
    with guest(folder, loses, loses, answers):
        qga.wait(folder, LONG, lambda: None)


def test_a_trickle_of_bytes_buys_no_time(folder: Path) -> None:
    enough = threading.Event()

    def trickle(its: PipedAgent) -> None:
        while not enough.wait(0.1):
            its.say(b"x")

    with guest(folder, answers, loses, trickle):
        with pytest.raises(GuestTimeout):
            qga.ask(folder, "guest-file-open", 1.0)
        enough.set()


def test_a_guest_that_is_slow_to_take_a_processor_is_asked_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its agent does one thing at a time, and answers what was asked meanwhile when that is done."""
    monkeypatch.setattr(sizes, "ASK_SECONDS", 0.5)
    online = [True, False]

    def say(its: PipedAgent, request: dict[str, Any]) -> None:
        if request["execute"] == "guest-get-vcpus":
            told = [{"logical-id": number, "online": each} for number, each in enumerate(online)]
            its.say(json.dumps({"return": told}).encode() + b"\n")
        else:
            its.answer(request)

    def works(its: PipedAgent) -> None:
        held: list[dict[str, Any]] = []
        while not all(online):
            request = its.line()
            if held or request["execute"] == "guest-set-vcpus":
                held.append(request)
                online[1] = len(held) > 5  # markers: two while it was waited for, and then those of the next question
            else:
                say(its, request)
        for request in held:
            say(its, request)
        while request["execute"] != "guest-get-vcpus":
            say(its, request := its.line())

    manifest = store.read(settings.load().images, IMAGE)
    state = LocalVmRecord(spec(), manifest, "disk")
    with guest(folder, works):
        assert sizes.bring_online(folder, state, 2, lambda: LONG)

"""The beginning and the end of a console on behalf of a socket, at the moments where they are close."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import api.realtime.console
from agent.broker.connection import connect
from agent.calls.streams import AgentStreams
from api.realtime.console import ConsoleSession, Which
from api.realtime.streams import ApiStreams
from core.contract.errors import CorralError
from core.contract.messages import JSON, VmSpec
from core.streams import Stream
from tests.support.waiting import until

VM = VmSpec("vm-1", "web", "fake", "linux", 1, 256, 1, owner="somebody")
HELLO = {"writable": True, "log": "1", "position": 0}


class Hub:
    """The streams of a process whose host answers when it is told to."""

    def __init__(self, redis_url: str) -> None:
        self._client = connect(redis_url, "agent-console-ends")
        self.streams, self._agent = ApiStreams(redis_url), AgentStreams(self._client)
        self.asked, self.may_answer = threading.Event(), threading.Event()
        self.typed: list[bytes] = []
        self.heard, self.leaves = threading.Event(), threading.Event()
        self.opened = 0

    def stream(self, host: str, verb: str, vm: VmSpec | None, params: JSON, timeout: float) -> Stream:
        self.asked.set()
        assert self.may_answer.wait(20)
        self.opened += 1
        stream_id, stream = self.streams.prepare("somebody")
        self._agent.serve(stream_id, "somebody", self._serve)
        return stream

    def _serve(self, stream: Stream) -> None:
        stream.write(json.dumps(HELLO).encode())
        for data in stream.chunks():
            self.typed.append(data)
            self.heard.set()
            if self.leaves.is_set():
                self.leaves.clear()
                stream.close()

    def is_free(self) -> bool:
        """Whether no stream is left, which its own thread notices half a second later at most."""
        return not (self.streams._shares.in_use or self._agent._shares.in_use)

    def close(self) -> None:
        until(self.is_free)
        self.streams.close()
        self._client.close()


class Viewer:
    def __init__(self) -> None:
        self.said: list[Any] = []

    def connected(self, *, writable: bool) -> None:
        self.said.append(writable)

    def output(self, data: bytes) -> None:
        self.said.append(data)

    def disconnected(self, error: CorralError) -> None:
        self.said.append(error)


class Clock:
    """As the module `time`; it stands still."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, _seconds: float) -> None:
        """It would be too long for a test."""


@pytest.fixture
def hub(redis_url: str) -> Iterator[Hub]:
    made = Hub(redis_url)
    yield made
    made.close()


def test_a_console_left_while_it_opens_keeps_no_stream_and_says_nothing(hub: Hub) -> None:
    viewer = Viewer()
    console = ConsoleSession(hub, Which("host-a", VM, write=True), viewer)
    console.start()
    assert hub.asked.wait(20)
    console.close()
    hub.may_answer.set()
    for thread in [each for each in threading.enumerate() if each.name == "console"]:
        thread.join(20)
    assert viewer.said == []
    until(hub.is_free)


def test_what_is_typed_before_it_is_open_arrives(hub: Hub) -> None:
    console = ConsoleSession(hub, Which("host-a", VM, write=True), Viewer())
    console.start()
    threading.Timer(0.3, hub.may_answer.set).start()
    console.type(b"first")
    assert hub.heard.wait(20)
    assert hub.typed == [b"first"]
    console.close()
    until(hub.is_free)


def test_one_that_was_open_for_long_is_opened_again(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """How long its host may be away counts from when it went."""
    clock, viewer = Clock(), Viewer()
    monkeypatch.setattr(api.realtime.console, "time", clock)
    hub.may_answer.set()
    console = ConsoleSession(hub, Which("host-a", VM, write=True), viewer)
    console.start()
    console.type(b"first")
    assert hub.heard.wait(20)
    clock.now = 10_000.0
    hub.leaves.set()
    console.type(b"its agent ends")
    until(lambda: hub.opened == 2 or viewer.said[1:])
    assert (hub.opened, viewer.said) == (2, [True])
    console.close()
    until(hub.is_free)

"""Streams between the API's end and the agent's, over a real Redis."""

from __future__ import annotations

import queue
import threading
import tracemalloc
from collections.abc import Callable, Iterator

import pytest

from agent.broker.connection import connect
from agent.calls.streams import AgentStreams
from api.realtime.streams import ApiStreams
from cli.fleet.redis import Redis
from core import streams
from core.contract import channels
from core.contract.errors import Conflict, CorralError, DriverFailure, Unavailable
from core.contract.shares import Shares
from core.streams import CHUNK_BYTES, WINDOW, Stream
from tests.support.waiting import until

MB = 1 << 20
Open = Callable[[Callable[[Stream], None]], Stream]


@pytest.fixture
def opened(redis_url: str) -> Iterator[Open]:
    """Opens a stream: its work is done at the agent's end, and the API's end is returned."""
    client = connect(redis_url, "agent-streams")
    here, there = ApiStreams(redis_url), AgentStreams(client)
    made: list[Stream] = []

    def one(work: Callable[[Stream], None]) -> Stream:
        stream_id, stream = here.prepare("owner")
        made.append(stream)
        there.serve(stream_id, "owner", work)
        return stream

    yield one
    for stream in made:
        stream.close()
        until(lambda line=stream._channel: line._pubsub.connection is None)  # type: ignore[misc]
    until(lambda: there._shares.in_use == 0)
    here.close()
    client.close()


def test_bytes_go_both_ways_at_once(opened: Open) -> None:
    data = bytes(range(256)) * (MB // 256) * 3 + b"end"

    def echo(stream: Stream) -> None:
        for chunk in stream.chunks():
            stream.write(chunk)
        stream.end({"said": stream.last_word})

    stream = opened(echo)
    back = bytearray()
    reader = threading.Thread(target=lambda: back.extend(b"".join(stream.chunks())))
    reader.start()
    stream.write(data)
    stream.end({"a": 1})
    reader.join(20)
    assert bytes(back) == data
    assert stream.last_word == {"said": {"a": 1}}


def test_a_slow_reader_holds_the_writer_back_and_memory_is_bounded(opened: Open) -> None:
    written = 0

    def pour(stream: Stream) -> None:
        nonlocal written
        for _ in range(200):
            stream.write(bytes(CHUNK_BYTES))
            written += 1
        stream.end()

    tracemalloc.start()
    stream = opened(pour)
    until(lambda: written == WINDOW)
    taken = 0
    for chunk in stream.chunks():
        taken += len(chunk)
        assert written <= taken // CHUNK_BYTES + WINDOW
    assert taken == 200 * CHUNK_BYTES
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 * MB


def test_what_fails_at_one_end_is_the_error_at_the_other(opened: Open) -> None:
    def refuse(stream: Stream) -> None:
        raise DriverFailure("it is not running", code="vm_not_running", field="x")

    stream = opened(refuse)
    with pytest.raises(Conflict, match="not running") as error:
        stream.read()
    assert error.value.details == {"field": "x"}
    with pytest.raises(Conflict):
        stream.write(b"more")


def test_what_breaks_at_the_agents_end_is_told_without_detail(opened: Open) -> None:
    def broken(stream: Stream) -> None:
        raise RuntimeError("a secret")

    with pytest.raises(DriverFailure) as error:
        opened(broken).read()
    assert error.value.code == "internal_error"
    assert "secret" not in error.value.message


def test_an_end_that_leaves_is_noticed_at_once(opened: Open) -> None:
    seen: list[CorralError] = []
    done = threading.Event()

    def read(stream: Stream) -> None:
        try:
            stream.read()
        except CorralError as error:
            seen.append(error)
            done.set()

    opened(read).close()
    assert done.wait(1)
    assert "has left" in seen[0].message


def test_an_end_that_died_without_a_word_is_noticed_by_whoever_waits(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = threading.Event()

    def vanish(stream: Stream) -> None:
        gone.wait(10)
        stream._ended = True  # so that it says nothing
        stream.close()

    monkeypatch.setattr(streams, "PING_SECONDS", 0.2)
    stream = opened(vanish)
    gone.set()
    with pytest.raises(Unavailable, match="the other end of the stream is gone"):
        stream.read()


def test_a_mute_end_is_given_up(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "MUTE_SECONDS", 0.5)
    release = threading.Event()

    def wait(_: Stream) -> None:
        release.wait(10)

    stream = opened(wait)
    with pytest.raises(Unavailable, match="no data or ping"):
        stream.read()
    release.set()


def test_a_lost_piece_ends_the_stream(opened: Open, redis: Redis) -> None:
    def skip(stream: Stream) -> None:
        stream._sent += 1
        stream.write(b"two")

    with pytest.raises(Unavailable, match="lost"):
        list(opened(skip).chunks())


def test_nothing_is_left_in_redis(opened: Open, redis_url: str) -> None:
    stream = opened(lambda stream: stream.end({}))
    assert stream.read() is None
    stream.close()
    client = connect(redis_url, "look")
    until(lambda: not client.pubsub_channels(channels.stream("*", "*")))
    assert client.keys("stream:*") == []
    client.close()


def test_so_many_streams_of_one_owner_and_no_more(redis_url: str) -> None:
    here = ApiStreams(redis_url)
    here._shares = Shares("streams", 3, 2)
    made = [here.prepare("one")[1] for _ in range(2)]
    with pytest.raises(Unavailable, match="you have"):
        here.prepare("one")
    made.append(here.prepare("another")[1])
    with pytest.raises(Unavailable, match="3 streams"):
        here.prepare("a third")
    for stream in made:
        stream.close()
    until(lambda: here._shares.in_use == 0)
    here.close()


def test_an_end_that_pings_and_takes_nothing_does_not_hold_the_other(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "STALL_SECONDS", 0.5)
    said = queue.Queue[str]()

    def work(stream: Stream) -> None:
        try:
            stream.write(bytes(CHUNK_BYTES * (WINDOW + 2)))
        except Unavailable as error:
            said.put(error.message)
            raise

    stream = opened(work)
    assert "read nothing" in said.get(timeout=10)
    with pytest.raises(Unavailable):
        list(stream.chunks())


def test_who_sends_nothing_is_given_up_where_that_is_said(opened: Open) -> None:
    stream = opened(lambda stream: stream.write(stream.read(0.3) or b""))
    with pytest.raises(Unavailable, match="no data on the stream"):
        stream.read()

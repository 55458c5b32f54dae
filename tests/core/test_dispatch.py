"""The ways out of a process to Redis: what one can't do in its time is not held against the others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis
from redis import Redis

from core import bounded, sealing
from core.contract import channels
from core.contract.errors import NotSent, Unavailable
from core.contract.messages import Reply, call, encode
from core.dispatch import Dispatch

NEVER = 4e9  # a call's deadline


@pytest.fixture
def dispatch(redis_url: str) -> Iterator[Dispatch]:
    made = Dispatch(redis_url)
    made.redis.flushdb()
    yield made
    made.close()


def _too_slow(_: Redis) -> object:
    raise redis.TimeoutError("Timeout reading from socket")


def test_a_glance_that_takes_too_long_keeps_no_message_back(
    dispatch: Dispatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert dispatch.glance(_too_slow) is None
    assert dispatch.glance(lambda quick: quick.ping()) is None, "it is left alone for a second"
    assert dispatch.publish("events", "one")
    assert dispatch.call("host-a", call("c1", "observe", "", NEVER, None, {}))
    assert dispatch.wake("corral.scan")
    assert dispatch.redis.llen(channels.calls("host-a")) == 1
    assert (dispatch.problem, dispatch.hands_over) == ("", True)
    own = [record.message for record in caplog.records if record.name == "core.dispatch"]  # not who hears it
    assert [message.partition(":")[0] for message in own] == ["a quick read from Redis failed"]


def test_a_call_that_is_not_sent_is_not_said_to_be_sent_again(caplog: pytest.LogCaptureFixture) -> None:
    away = Dispatch("redis://127.0.0.1:1/0")
    assert not away.call("host-a", call("c1", "observe", "", NEVER, None, {}))
    assert "a call was not sent" in caplog.text
    assert "again" not in caplog.text
    assert away.problem


@pytest.mark.parametrize("key", [b"", b"\xff\xfe", b"none", b"A" * 44, b"x" * (bounded.SHORT + 9)])
def test_a_host_whose_key_is_none_is_not_asked(dispatch: Dispatch, key: bytes) -> None:
    dispatch.redis.set(channels.call_key("host-a"), key)
    with pytest.raises(NotSent, match="key is not valid"):
        dispatch.call("host-a", call("c1", "observe", "", NEVER, None, {}))
    assert dispatch.redis.llen(channels.calls("host-a")) == 0


@pytest.mark.parametrize("parked", [b"", b"\xff", b"[" * 100_000, b"{}", encode(Reply("c1", wrapped="AAAA")).encode()])
def test_a_parked_reply_that_is_none_is_the_hosts_fault(dispatch: Dispatch, parked: bytes) -> None:
    name = channels.parked_reply("host-a", "c1")
    dispatch.redis.set(name, parked)
    with pytest.raises(Unavailable, match="the host's answer"):
        dispatch.opened("host-a", Reply("c1", parked=True), sealing.new_key())
    assert not dispatch.redis.exists(name)


def test_of_what_is_too_long_no_more_is_read_than_may_be(dispatch: Dispatch, monkeypatch: pytest.MonkeyPatch) -> None:
    redis, flood = dispatch.redis, b"x" * (64 * bounded.SHORT)
    monkeypatch.setattr(bounded, "LONG", bounded.SHORT)
    for key in ("a", "c", "parked"):
        redis.set(key, flood)
    redis.set("b", "short")
    redis.hset("hash", mapping={"short": "told", "long": flood})
    redis.lpush("list", "x")
    sent = _sent_by(redis)
    assert bounded.read(redis, ["a", "b", "c", "list", "none"])[1::2] == [b"short", None]
    assert (bounded.field(redis, "hash", "short"), bounded.field(redis, "hash", "long")) == (b"told", None)
    assert bounded.take(redis, "parked") is None
    assert _sent_by(redis) - sent < 4 * bounded.SHORT
    assert not redis.exists("parked")
    assert bounded.read(redis, []) == []


def _sent_by(redis: Redis) -> int:
    figures: Any = redis.info("stats")
    return int(figures["total_net_output_bytes"])

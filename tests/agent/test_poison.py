"""Whatever anyone pushes into its queues, the agent goes on."""

from __future__ import annotations

import base64
import json
import uuid
from typing import Any

import pytest

from agent.broker.transport import CommandChannel
from core.contract import channels
from core.transport import TaskRefused, rebuilt
from tests.agent.hosts import Host
from tests.support.waiting import until


def message(**changes: Any) -> dict[str, Any]:
    """A raw Celery message with one command, as kombu puts it into Redis."""
    body = changes.pop("arguments", [[], {"command": "{}"}, {"callbacks": None, "chain": None}])
    whole = {
        "body": base64.b64encode(json.dumps(body).encode()).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"task": "corral.command", "id": uuid.uuid4().hex, "lang": "py"},
        "properties": {
            "delivery_tag": uuid.uuid4().hex,
            "delivery_info": {"exchange": "", "routing_key": "host.a"},
            "body_encoding": "base64",
        },
    }
    return {**whole, **changes}


MALFORMED = {
    "not JSON": b"garbage",
    "not text": b"\xff\xfe\x00",
    "a list": b"[1,2]",
    "null": b"null",
    "a number": b"7",
    "empty object": b"{}",
    "deep": b"[" * 100_000,
    "no headers": json.dumps(message(headers=None)).encode(),
    "no id": json.dumps(message(headers={"task": "corral.command"})).encode(),
    "id is a list": json.dumps(message(headers={"task": "corral.command", "id": []})).encode(),
    "other task": json.dumps(message(headers={"task": "celery.backend_cleanup", "id": "x"})).encode(),
    "no body": json.dumps(message(body=None)).encode(),
    "bad base64": json.dumps(message(body="%%%")).encode(),
    "empty body": json.dumps(message(arguments=[])).encode(),
    "body is null": json.dumps(message(arguments=None)).encode(),
    "positional": json.dumps(message(arguments=[["{}"], {}, {}])).encode(),
    "command is no text": json.dumps(message(arguments=[[], {"command": 1}, {}])).encode(),
    "linked": json.dumps(message(arguments=[[], {"command": "{}"}, {"callbacks": [{"task": "x"}]}])).encode(),
    "no tag": json.dumps(message(properties={"delivery_info": {}})).encode(),
    "tag is a list": json.dumps(message(properties={"delivery_tag": [], "delivery_info": {}})).encode(),
    "no command": json.dumps(message()).encode(),
}


@pytest.mark.parametrize("push", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_command_does_no_harm(running: Host, push: bytes) -> None:
    running.redis.lpush(channels.command_queue(running.name), push)
    running.made()
    assert running.alive()


@pytest.mark.parametrize("push", [b"garbage", b"\xff", b"[]", b"null", b"{}", b"[" * 100_000, b'{"id": 1}'])
def test_a_malformed_call_does_no_harm(running: Host, push: bytes) -> None:
    running.redis.rpush(channels.calls(running.name), push)
    assert running.call("cancel", operation_id=uuid.uuid4().hex).result == {"state": "cancelled"}


def test_a_hundred_bad_ones_take_no_place_away(running: Host) -> None:
    for push in list(MALFORMED.values()) * 5:
        running.redis.lpush(channels.command_queue(running.name), push)
    running.made()
    assert running.redis.hlen(f"unacked.{running.name}") == 0


def test_queues_that_are_no_lists_are_waited_out(running: Host) -> None:
    queues = [channels.command_queue(running.name), channels.calls(running.name)]
    before = running.log().count("trying again")
    for queue in queues:
        running.redis.delete(queue)
        running.redis.set(queue, "x")
    until(lambda: running.log().count("trying again") > before)
    running.redis.delete(*queues)
    running.made()
    assert running.call("cancel", operation_id=uuid.uuid4().hex).result == {"state": "cancelled"}


def test_a_command_keeps_nothing_but_itself() -> None:
    headers = {"task": "corral.command", "id": "1", "eta": "2100-01-01", "timelimit": [1, 1], "shadow": "start web"}
    kept = rebuilt(message(headers=headers), CommandChannel.accepts)["headers"]
    assert kept["shadow"] == "start web"
    assert not {"eta", "timelimit", "expires", "group", "chord"} & set(kept)


def test_what_is_refused_is_named() -> None:
    with pytest.raises(TaskRefused, match=r"task is 'celery\.map'"):
        rebuilt(message(headers={"task": "celery.map", "id": "1"}), CommandChannel.accepts)

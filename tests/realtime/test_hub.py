"""What held requests and calls hear."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from api.realtime.hub import Hub
from cli.fleet.redis import Redis
from core.contract import channels
from core.contract.errors import (
    Conflict,
    CorralError,
    GuestTimeout,
    HostRefused,
    NotFound,
    Unavailable,
    Unsupported,
)
from core.contract.messages import Call, Failure, Reply, decode, encode
from core.dispatch import Dispatch
from tests.support.record import Record
from tests.support.waiting import HANG_SECONDS, until


def later(action: Callable[[], object], seconds: float = 0.2) -> threading.Thread:
    """Do it in a moment, in another thread."""
    thread = threading.Timer(seconds, action)
    thread.start()
    return thread


def ended(world: Record, operation_id: str, state: str = "succeeded") -> None:
    """The event that an operation has ended."""
    note = {
        "seq": world.newest() + 1, "type": "operation", "at": "", "owner_id": None, "vm_id": None, "vm_name": None,
        "operation_id": operation_id, "host_name": None, "data": {"state": state},
    }  # fmt: skip
    world.dispatch.publish(channels.EVENTS, json.dumps([note]))


def answering(world: Record, reply: Callable[[Call], Reply]) -> threading.Thread:
    """An agent for one call."""

    def answer() -> None:
        popped: Any = world.dispatch.redis.blpop([channels.calls("host-a")], 1)
        call = decode(Call, popped[1])
        world.dispatch.publish(call.reply_to, encode(reply(call)))

    thread = threading.Thread(target=answer)
    thread.start()
    return thread


def test_a_wait_ends_with_the_event(hub: Hub, world: Record) -> None:
    assert hub.start().wait_up(5)
    thread = later(lambda: ended(world, "op-1"))
    assert hub.wait_operation("op-1", HANG_SECONDS, lambda: False)
    thread.join()


def test_a_wait_asks_the_record_first_and_after_its_interest_is_known(hub: Hub) -> None:
    assert hub.wait_operation("op-2", 0, lambda: True)
    assert not hub._operations._slots


def test_other_operations_and_other_states_do_not_end_a_wait(hub: Hub, world: Record) -> None:
    assert hub.start().wait_up(5)
    threads = [later(lambda: ended(world, "op-other")), later(lambda: ended(world, "op-3", "running"))]
    assert not hub.wait_operation("op-3", 0.6, lambda: False)
    for thread in threads:
        thread.join()


def test_a_lost_event_only_delays_a_wait(hub: Hub) -> None:
    answers = iter([False, True])
    assert hub.wait_operation("op-4", HANG_SECONDS, lambda: next(answers))
    assert list(answers) == []


def test_a_database_away_does_not_end_a_wait(hub: Hub) -> None:
    asked: list[float] = []

    def read() -> bool:
        asked.append(0)
        if len(asked) == 1:
            raise Unavailable("away")
        return True

    assert hub.wait_operation("op-5", 10, read)


def test_draining_lets_every_wait_go(hub: Hub) -> None:
    thread = later(hub.drain)
    for _ in range(2):
        assert not hub.wait_operation("op-6", 3600, lambda: False)
    thread.join()


def test_a_call_is_answered(hub: Hub, world: Record) -> None:
    thread = answering(world, lambda call: Reply(call.id, {"state": f"{call.verb} {call.params}", "new": 1}))
    told = hub.call("host-a", "cancel", None, {"operation_id": "op-1"}, 5)
    assert told == {"state": "cancel OperationRef(operation_id='op-1')"}
    thread.join()


@pytest.mark.parametrize("answer", [None, {}, {"state": 1}, {"state": None}, {"state": "x" * 300}])
def test_what_is_no_answer_to_the_question_is_unavailable(hub: Hub, world: Record, answer: Any) -> None:
    thread = answering(world, lambda call: Reply(call.id, answer))
    with pytest.raises(Unavailable, match="unexpected reply"):
        hub.call("host-a", "cancel", None, {"operation_id": "op-1"}, 5)
    thread.join()


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("timeout", GuestTimeout),
        ("unsupported", Unsupported),
        ("vm_not_found", NotFound),
        ("vm_not_running", Conflict),
        ("something_new", HostRefused),
    ],
)
def test_a_failure_becomes_the_matching_error(hub: Hub, world: Record, code: str, kind: type[CorralError]) -> None:
    thread = answering(world, lambda call: Reply(call.id, failure=Failure(code, "why", True, {"message": 1})))
    with pytest.raises(CorralError) as caught:
        hub.call("host-a", "execute", None, {"command": "true"}, 5)
    thread.join()
    error = caught.value
    assert type(error) is kind
    assert (error.code, error.message, error.details, error.retryable) == (code, "why", {"message": 1}, True)


def test_a_host_that_does_not_answer_is_unavailable_at_the_deadline(hub: Hub) -> None:
    begun = time.monotonic()
    with pytest.raises(Unavailable, match=r"host 'host-b' did not answer within 0\.4 s"):
        hub.call("host-b", "observe", None, {}, 0.4)
    assert time.monotonic() - begun >= 0.4


def test_a_call_without_a_broker_is_unavailable(world: Record) -> None:
    hub = Hub("redis://127.0.0.1:1/0", world.engine, Dispatch("redis://127.0.0.1:1/0"))
    with pytest.raises(Unavailable, match="broker"):
        hub.call("host-a", "observe", None, {}, 0.3)
    hub.close()


def test_malformed_messages_are_ignored(hub: Hub, world: Record, caplog: pytest.LogCaptureFixture) -> None:
    assert hub.start().wait_up(5)
    listener = hub.listen()  # else nobody looks at what an event says
    garbage: list[Any] = ["", "null", "[1]", "{}", '[{"seq":"x"}]', "\xff", "[" * 50_000, '[{"seq":1}]']
    for text in garbage:
        world.dispatch.publish(channels.EVENTS, text)
        world.dispatch.publish(hub._reply_to, text)
    thread = later(lambda: ended(world, "op-7"))
    assert hub.wait_operation("op-7", 5, lambda: False)
    thread.join()
    hub.leave(listener)
    told = [record.message for record in caplog.records if record.name.startswith("api.realtime")]
    assert len(told) == 2 * len(garbage)
    assert all("malformed" in message for message in told)


def test_a_lost_subscription_comes_back(hub: Hub, world: Record, own_redis: Redis) -> None:
    subscription = hub.start()
    assert subscription.wait_up(5)
    redis: Any = world.dispatch.redis
    for _ in range(2):
        own_redis.restart()
        until(lambda: redis.pubsub_numsub(channels.EVENTS)[0][1] == 1)
    thread = later(lambda: ended(world, "op-8"))
    assert hub.wait_operation("op-8", 5, lambda: False)
    thread.join()

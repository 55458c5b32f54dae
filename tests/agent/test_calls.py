"""Calls: answered beside commands, at most once, before their deadline."""

from __future__ import annotations

import base64
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from agent.drivers.capabilities.guest import OUTPUT_LIMIT
from core.contract import channels
from core.contract.messages import Reply, decode, encode
from core.contract.messages import call as call_of
from core.contract.states import Kind
from tests.agent.hosts import Host
from tests.support.waiting import until

PLACES = 32


@pytest.fixture(scope="module")
def vm(running: Host) -> Any:
    made = running.made()
    running.do(Kind.START, made)
    return made


def test_execute_answers_with_both_outputs_and_the_code(running: Host, vm: Any) -> None:
    reply = running.call("execute", vm, command="echo one two; nonsense", timeout_seconds=5)
    assert reply.result["exit_code"] == 127
    assert base64.b64decode(reply.result["stdout_b64"]) == b"one two\n"
    assert b"nonsense: not found" in base64.b64decode(reply.result["stderr_b64"])
    assert reply.result["execution_time_seconds"] >= 0
    assert reply.result["truncated"] is False


def test_execute_passes_environment_and_input(running: Host, vm: Any) -> None:
    stdin = base64.b64encode("päper".encode()).decode()
    reply = running.call("execute", vm, command="echo $WHO; cat", environment={"WHO": "ann"}, stdin_b64=stdin)
    assert base64.b64decode(reply.result["stdout_b64"]).decode() == "ann\npäper"


def test_execute_ends_with_its_timeout(running: Host, vm: Any) -> None:
    reply = running.call("execute", vm, command="sleep 30", timeout_seconds=0.3)
    assert reply.failure.code == "timeout"


def test_execute_ends_with_the_calls_deadline(running: Host, vm: Any) -> None:
    assert running.call("execute", vm, seconds=1.5, command="sleep 600", timeout_seconds=600).failure


def test_execute_in_a_stopped_vm_says_what_to_do(running: Host) -> None:
    reply = running.call("execute", running.made(), command="true")
    assert reply.failure.code == "vm_not_running"


WRONG: list[dict[str, Any]] = [
    {},
    {"command": 1},
    {"command": "true", "environment": {"A": 1}},
    {"command": "true", "stdin_b64": []},
    {"command": "true", "stdin_b64": "?"},
]


@pytest.mark.parametrize("params", WRONG)
def test_wrong_parameters_are_told(running: Host, vm: Any, params: dict[str, Any]) -> None:
    reply = running.call("execute", vm, **params)
    assert reply.failure.code == "invalid_request"


def test_observe(running: Host, vm: Any) -> None:
    reply = running.call("observe", vm)
    assert reply.result["state"] == "running"


def test_an_abandoned_call_ends_what_it_does_and_frees_its_place(running: Host, vm: Any) -> None:
    for batch in range(2):
        for number in range(30):
            call = call_of(
                f"left-{batch}-{number}", "execute", "nowhere", time.time() + 60, vm, {"command": "sleep 50"}
            )
            running.redis.rpush(channels.calls(running.name), encode(call))
            assert running.call("abandon", call_id=call.id).result == {"abandoned": True}
        with ThreadPoolExecutor(PLACES) as clients:
            until(lambda: all(each.result for each in clients.map(lambda _: ask(running, vm), range(PLACES))))
    assert running.call("abandon", call_id="left-0-0").result == {"abandoned": False}


def ask(running: Host, vm: Any) -> Any:
    """Takes a place, as long as all others that ask so are answered."""
    return running.call("execute", vm, command="sleep 0.5")


def test_long_output_is_cut_at_the_limit_and_parked(running: Host, vm: Any) -> None:
    reply = running.call("execute", vm, command=f"head -c {OUTPUT_LIMIT + 1} /dev/zero; exit 3")
    assert reply.parked
    parked: Any = running.redis.getdel(channels.parked_reply(running.name, reply.call_id))
    result: Any = decode(Reply, parked).result
    assert (result["exit_code"], result["truncated"], result["output_limit_bytes"]) == (3, True, OUTPUT_LIMIT)
    assert base64.b64decode(result["stdout_b64"]) == bytes(OUTPUT_LIMIT)


@pytest.mark.parametrize(("verb", "code"), [("dance", "unsupported"), ("observe", "invalid_request")])
def test_a_call_it_cannot_answer_is_refused(running: Host, verb: str, code: str) -> None:
    reply = running.call(verb)
    assert reply.failure.code == code


def test_a_broken_driver_is_told_without_detail(running: Host) -> None:
    vm = running.made(fake={"broken": ["execute"]})
    reply = running.call("execute", vm, command="true")
    assert reply.failure.code == "internal_error"
    assert "law" not in reply.failure.message


def test_a_call_past_its_deadline_is_dropped(running: Host) -> None:
    late = call_of("late", "cancel", "nowhere", time.time() - 1, None, {"operation_id": "not-cancelled"})
    running.redis.rpush(channels.calls(running.name), encode(late))
    assert running.call("cancel", operation_id="not-cancelled").result == {"state": "cancelled"}


def test_a_call_whose_reply_nobody_waits_for_is_not_answered(running: Host) -> None:
    quiet = call_of("nobody-waits", "cancel", "", time.time() + 60, None, {"operation_id": "cancelled-quietly"})
    running.redis.rpush(channels.calls(running.name), encode(quiet))
    assert running.call("cancel", operation_id="another").result == {"state": "cancelled"}
    assert quiet.id not in running.log()


def test_a_burst_of_calls_is_bounded_and_leaves_cancel_free(running: Host, vm: Any) -> None:
    with ThreadPoolExecutor(40) as clients:
        waiting = [clients.submit(running.call, "execute", vm, command="sleep 5") for _ in range(PLACES + 8)]
        until(lambda: sum(each.done() for each in waiting) == 8)
        assert running.call("cancel", operation_id="unknown-yet").result == {"state": "cancelled"}
        assert sum(each.done() for each in waiting) == 8, "it waited for a place"
        replies = [each.result() for each in waiting]
    refused = [each.failure for each in replies if each.failure]
    assert len(refused) == 8
    assert {(each.code, each.retryable) for each in refused} == {("service_unavailable", True)}


def test_calls_do_not_wait_for_commands(host: Host) -> None:
    host.start("--concurrency", "1")
    vm = host.made()
    host.do(Kind.START, vm)
    slow = host.made(fake={"slow": {"start": 600.0}})
    operation = host.send(host.command(Kind.START, slow))
    host.seen(operation, "begun")
    assert host.call("execute", vm, command="true").result
    assert host.call("cancel", operation_id=operation).result == {"state": "cancelling"}
    assert host.end(operation).phase == "cancelled"

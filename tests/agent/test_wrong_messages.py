"""Whatever is wrong in a command or a call, its sender is told, and the agent goes on."""

from __future__ import annotations

from typing import Any

import pytest

from core.contract import channels
from core.contract.calls import CALLS
from core.contract.commands import PARAMS
from core.contract.messages import command, encode
from core.contract.states import Kind
from tests.agent.hosts import Host
from tests.support.waiting import until

WRONG: list[Any] = [5, [], None]


@pytest.mark.parametrize("kind", Kind)
def test_a_command_with_wrong_params_is_reported_as_failed(running: Host, kind: Kind) -> None:
    vm = running.vm()
    for wrong in WRONG:
        said = running.command(kind, vm)
        report = running.end(running.send(type(said)(said.operation_id, 1, kind, vm, wrong, said.deadline_at)))
        assert (report.phase, report.failure.code) == ("failed", "invalid_request")
        assert "$.params" in report.failure.message


def test_a_command_of_an_unknown_kind_is_reported_as_failed(running: Host) -> None:
    said = running.command(Kind.PAUSE, running.vm())
    kind: Any = "levitate"
    report = running.end(running.send(type(said)(said.operation_id, 1, kind, said.vm, {}, said.deadline_at)))
    assert (report.phase, report.failure.code) == ("failed", "invalid_request")
    assert "'levitate'" in report.failure.message


def test_a_command_of_a_newer_release_is_done(running: Host) -> None:
    vm = running.made()
    assert running.do(Kind.START, vm, gui=False, warp=9).phase == "succeeded"


def test_an_attempt_that_can_not_be_read_does_not_end_what_was_begun(running: Host) -> None:
    vm = running.made(fake={"slow": {"start": 1.0}})
    operation = running.send(running.command(Kind.START, vm))
    running.seen(operation, "begun")
    said = running.command(Kind.START, vm)
    running.send(type(said)(operation, 2, Kind.START, vm, WRONG[0], said.deadline_at), attempt=2)
    assert running.end(operation).phase == "succeeded"


@pytest.mark.parametrize("verb", CALLS)
def test_a_call_with_wrong_params_is_refused_by_name(running: Host, verb: str) -> None:
    for wrong in WRONG:
        reply = running.asked(verb, running.vm(), wrong)
        assert reply.failure.code == "invalid_request"
        assert "$.params" in reply.failure.message


def test_what_says_nothing_of_its_sender_is_dropped(running: Host) -> None:
    running.redis.rpush(channels.calls(running.name), encode(command("op", 1, running.vm(), PARAMS[Kind.PAUSE](), 1.0)))
    assert until(lambda: running.redis.llen(channels.calls(running.name)) == 0)
    assert running.call("cancel", operation_id="never-there").result == {"state": "cancelled"}

"""No owner of VMs has all of a host's places for calls."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

from agent.calls import EXECUTES_EACH
from core.contract.states import Kind
from tests.support.waiting import until

if TYPE_CHECKING:
    from tests.agent.hosts import Host


def test_an_owner_who_runs_all_the_commands_that_they_may_holds_up_nobody(running: Host) -> None:
    made = running.made()
    assert running.do(Kind.START, made).phase == "succeeded"
    greedy, other = replace(made, owner="greedy"), replace(made, owner="other")
    with ThreadPoolExecutor(EXECUTES_EACH) as clients:
        held = [
            clients.submit(running.call, "execute", greedy, seconds=60.0, command="sleep 10")
            for _ in range(EXECUTES_EACH)
        ]

        def refused() -> bool:
            failure = running.call("execute", greedy, command="true").failure
            return failure is not None and failure.code == "service_unavailable" and "of yours" in failure.message

        until(refused)
        assert running.call("execute", other, command="true").failure is None
        assert running.call("observe", greedy).failure is None
        assert [each.result().failure for each in held if each.result().failure] == []

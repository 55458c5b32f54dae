"""A worker asks a host, which may not answer: nobody goes on with what nobody waits for."""

from __future__ import annotations

from typing import Any

import pytest

from core.contract import channels
from core.contract.calls import CallRef
from core.contract.errors import Unavailable
from core.contract.messages import Call, VmSpec, decode
from tests.workers.conftest import Workers
from workers import asking

VM = VmSpec("vm-1", "web", "fake", "linux", 1, 256, 4)


def _sent(workers: Workers, host: str) -> list[Call]:
    entries: Any = workers.redis.lrange(channels.calls(host), 0, -1)
    return [decode(Call, entry) for entry in entries]


def test_a_host_that_does_not_answer_is_told_that_nobody_waits(workers: Workers) -> None:
    with pytest.raises(Unavailable, match="did not answer within"):
        asking.ask(workers.context.dispatch, "host-a", "observe", VM, {}, 0.1, lambda: None)
    asked, abandoned = _sent(workers, "host-a")
    assert abandoned.params == CallRef(asked.id)


def test_so_is_one_whose_answer_is_not_waited_for_any_more(workers: Workers) -> None:
    def tick() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        asking.ask(workers.context.dispatch, "host-a", "observe", VM, {}, 60.0, tick)
    asked, abandoned = _sent(workers, "host-a")
    assert abandoned.params == CallRef(asked.id)

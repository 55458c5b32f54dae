"""Who may type into a console is in the audit log; who only looks is not, nor what is typed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from simple_websocket import Client as Socket

from tests.console.conftest import FAKE, Operator, Talk

Open = Callable[..., Socket]


def _connections(caller: Operator) -> list[Any]:
    found = caller.call("GET", "/security/audit-logs?action_type=console_connect")["logs"]
    return [log for log in found if log["resource_id"] == FAKE]


def test_writers_are_told_in_both_dialects(caller: Operator, consoles: Open, talk: Talk) -> None:
    before = len(_connections(caller))
    consoles(FAKE, "?read_only=true").receive(timeout=20)
    assert len(_connections(caller)) == before
    consoles(FAKE).receive(timeout=20)
    talk.send("console_connect", vm_id=FAKE)
    talk.next()
    by_key, by_token, *_ = _connections(caller)
    assert len(_connections(caller)) == before + 2
    assert (by_token["key_id"], by_token["source_ip"], by_token["username"]) == (None, "127.0.0.1", "admin")
    assert by_key["key_id"] is not None

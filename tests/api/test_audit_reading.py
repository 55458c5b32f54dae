"""Reading the audit log: who may, its shape, filters and order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from api.auditing import flood
from tests.api.auditing import ASYNC, said
from tests.api.world import Caller, World, problem


@pytest.fixture(scope="module")
def caller(world: World) -> Caller:
    return world.caller()


@pytest.fixture(scope="module")
def admin(world: World) -> Caller:
    return world.caller("admin")


@pytest.fixture(autouse=True)
def _few_are_summed_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flood, "OF_ONE_CALLER", 1000)
    monkeypatch.setattr(flood, "OF_ALL_STRANGERS", 1000)


def test_administrators_read_it_as_the_document_says(world: World, caller: Caller, admin: Caller) -> None:
    _, entry = said(world, "POST", "/vms", caller.bearer | ASYNC, json={"name": "shown", "vcpus": 2, "memory_mb": 512})
    query = f"?action_type=vm_create&user_id={caller.actor.user_id}&limit=1"
    body = world.get(f"/security/audit-logs{query}", admin.bearer).json
    assert set(body) == {"logs", "total", "limit", "offset"}
    assert (body["limit"], body["offset"], len(body["logs"])) == (1, 0, 1)
    (log,) = body["logs"]
    documented = {
        "timestamp": entry.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "action_type": "vm_create",
        "resource_type": "vm",
        "resource_id": "shown",
        "user_id": caller.actor.user_id,
        "source_ip": "127.0.0.1",
        "compliance_frameworks": ["SOC2", "ISO27001"],
    }
    assert documented.items() <= log.items()
    assert log["details"]["vm_config"] == {"name": "shown", "vcpus": 2, "memory_mb": 512}
    envelope = world.get(f"/security/audit-logs{query}", admin.key).json
    assert envelope == {"status": "success", "data": [log], "total": body["total"], "limit": 1, "offset": 0}
    assert world.get("/security/audit-logs", admin.bearer).json["limit"] == 100


def test_nobody_else_reads_it(world: World, caller: Caller) -> None:
    assert problem(world.get("/security/audit-logs", caller.bearer)) == (403, "forbidden")
    assert problem(world.get("/security/audit-logs", caller.key)) == (403, "forbidden")
    assert problem(world.get("/security/audit-logs")) == (401, "unauthorized")
    assert world.get("/security/audit-logs", world.caller("admin", access="read").key).status_code == 200


def test_filters_choose_and_their_order_is_stable(world: World, caller: Caller, admin: Caller) -> None:
    _, entry = said(world, "POST", "/keys", caller.bearer, json={"name": "filtered"})

    def found(**query: object) -> list[int]:
        answer = world.get("/security/audit-logs", admin.bearer, query_string=query)
        assert answer.status_code == 200, answer.text
        return [log["id"] for log in answer.json["logs"]]

    mine = {"user_id": caller.actor.user_id, "action_type": "key_create", "resource_type": "key"}
    assert found(**mine)[0] == entry.seq
    assert found(**mine | {"resource_type": "vm"}) == []
    assert entry.seq not in found(**mine | {"action_type": "key_revoke"})
    at, second = entry.at.astimezone(UTC), timedelta(seconds=1)
    assert entry.seq in found(**mine, start_time=(at - second).isoformat(), end_time=(at + second).isoformat())
    assert entry.seq not in found(**mine, end_time=at.isoformat())
    assert entry.seq not in found(**mine, start_time=(at + timedelta(milliseconds=1)).isoformat())
    assert found(**mine, sort="timestamp")[-1] == entry.seq
    until = datetime.now(UTC).isoformat()
    pages = found(limit=3, end_time=until) + found(limit=3, offset=3, end_time=until)
    assert sorted(set(pages), reverse=True) == pages
    for wrong in (
        "limit=0",
        "limit=101",
        "offset=-1",
        "sort=details",
        "start_time=x",
        "end_time=",
        "action_type=" + "x" * 101,
    ):
        assert problem(world.get(f"/security/audit-logs?{wrong}", admin.bearer)) == (422, "validation_error"), wrong
        assert problem(world.get(f"/security/audit-logs?{wrong}", admin.key)) == (400, "invalid_request"), wrong

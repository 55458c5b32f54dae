"""The control plane is lost, with all in PostgreSQL and Redis, and comes back from a backup: hosts and VMs go on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
from sqlalchemy import text

from tests.support.waiting import until

HYPERVISOR = "fake"


def test_hosts_and_vms_go_on_with_a_control_plane_that_was_lost(rig: Any, corral: Any, tmp_path: Path) -> None:
    file, token = tmp_path / "fleet.backup", _token(rig)
    rig.create("kept")
    assert rig.ended(rig.accept("POST", "/vms/kept/start")) == "succeeded"
    rig.create("gone")
    rig.create("moving", slow={"start": 2.0})
    with _slow_creates(rig):
        moving, made = rig.accept("POST", "/vms/moving/start"), _create(rig, "made")
        rig.running(moving)
        rig.running(made)
        corral("backup", file)
    assert {rig.ended(moving), rig.ended(made)} == {"succeeded"}
    kept_id, gone_id = _id(rig, "kept"), _id(rig, "gone")

    assert rig.ended(rig.accept("DELETE", "/vms/gone")) == "succeeded"
    rig.create("since")
    since_id, host = rig.row("SELECT id, host_name FROM vms WHERE name = 'since'")
    last, lost = rig.row("SELECT max(seq), now() FROM events")
    agents = {name: rig.fleet.process(name).pid for name in rig.fleet.plan.host_names}
    _refused_while_it_runs(rig, corral, file)
    with rig.stopped():
        rig.lose_record()
        rig.lose_redis()
        told = corral("restore", file).output
    assert "1 go on, 1 failed" in told
    until(lambda: _healthy(rig), why="healthy again")

    assert agents == {name: rig.fleet.process(name).pid for name in rig.fleet.plan.host_names}
    assert (_id(rig, "kept"), _status(rig, token, "kept")) == (kept_id, "running")
    assert rig.effects("kept")["start"] == 1
    said = rig.request("POST", "/vms/kept/execute", {"command": "echo here", "environment": {"A": "secret"}})
    assert said.json()["data"]["stdout"] == "here\n"
    assert rig.ended(made) == "succeeded"
    assert rig.effects("made")["create"] == 1
    assert (rig.state(moving), _status(rig, token, "moving")) == ("failed", "running")
    assert rig.row("SELECT error ->> 'code' FROM operations WHERE id = :id", id=moving)[0] == "record_restored"
    until(lambda: _status(rig, token, "gone") == "failed", why="its host no longer has it")
    assert _id(rig, "gone") == gone_id
    assert rig.ended(rig.accept("DELETE", "/vms/gone")) == "succeeded"
    orphans = f"/hosts/{host}/orphans"
    until(lambda: rig.request("GET", orphans).json()["data"] == [{"id": since_id, "host": host}], why="an orphan")
    adopted = rig.request("POST", f"{orphans}/{since_id}/adopt", {"owner": rig.fleet.credentials.username})
    assert adopted.status_code == 201, adopted.text
    assert rig.ended(rig.accept("POST", "/vms/since/start")) == "succeeded"
    assert rig.row("SELECT min(seq) FROM events WHERE at > :lost", lost=lost)[0] > last
    assert rig.row("SELECT count(*) FROM audit_entries WHERE action_type = 'restore'")[0] == 1
    assert "unbroken" in corral("audit", "verify").output


def _refused_while_it_runs(rig: Any, corral: Any, file: Path) -> None:
    assert "the fleet runs: API or workers have" in corral("restore", file, "--replace", code=1).output
    with rig.stopped("api"):
        rig.lose_record()  # workers have no connection then, and go on all the same
        assert "the fleet runs (worker " in corral("restore", file, code=1).output


@contextmanager
def _slow_creates(rig: Any) -> Iterator[None]:
    files = [rig.fleet.home / "hosts" / host / "fake.json" for host in rig.fleet.plan.host_names]
    for file in files:
        file.write_text('{"slow": {"create": 2}}')
    try:
        yield
    finally:
        for file in files:
            file.unlink()


def _create(rig: Any, name: str) -> str:
    return str(rig.accept("POST", "/vms", {"name": name, "memory_mb": 512, "cpus": 1, "storage_gb": 10}))


def _id(rig: Any, name: str) -> str:
    with rig.engine.connect() as connection:
        found = text("SELECT id FROM vms WHERE name = :name AND deleted_at IS NULL")
        return str(connection.execute(found, {"name": name}).scalar_one())


def _token(rig: Any) -> dict[str, str]:
    who = {"username": rig.fleet.credentials.username, "password": rig.fleet.credentials.password}
    answer = requests.post(f"{rig.fleet.url}/api/v1/auth/login", json=who, timeout=20)
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


def _status(rig: Any, token: dict[str, str], name: str) -> str:
    answer = requests.get(f"{rig.fleet.url}/api/v1/vms/{name}", headers=token, timeout=20)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["status"])


def _healthy(rig: Any) -> bool:
    try:
        return bool(rig.request("GET", "/health").json()["data"]["status"] == "healthy")
    except (requests.ConnectionError, KeyError):
        return False

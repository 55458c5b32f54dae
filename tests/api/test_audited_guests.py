"""What is done in a guest is in the audit log before its host is asked, and afterwards how it ended; reads are too."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil
import pytest
import requests
from sqlalchemy import create_engine, text

from cli.fleet.fleet import Fleet
from tests.support.clients import administrator
from tests.support.guests import Guest
from tests.support.waiting import until


class Audited:
    """A VM that runs, and what the log says of it."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet, self.name = fleet, f"audited{secrets.token_hex(4)}"
        self.client = administrator(fleet)
        self.guest = Guest.started(self.client, self.name, memory_mb=512)
        self.engine = create_engine(fleet.database_url)

    def ask(self, method: str, path: str, **options: Any) -> requests.Response:
        return self.guest.request(method, path, self.client.key, **options)

    def entries(self, action: str) -> list[tuple[str, Any]]:
        """(result, details) of each entry of that action about this VM, in order."""
        query = "SELECT result, details FROM audit_entries WHERE action_type = :action AND (resource_id = :vm"
        query += " OR details ->> 'vm_name' = :vm) ORDER BY seq"
        with self.engine.connect() as connection:
            return [(row[0], row[1]) for row in connection.execute(text(query), {"action": action, "vm": self.name})]

    def host(self) -> psutil.Process:
        with self.engine.connect() as connection:
            query = text("SELECT host_name FROM vms WHERE name = :vm")
            return psutil.Process(self.fleet.process(connection.execute(query, {"vm": self.name}).scalar_one()).pid)


@pytest.fixture(scope="module")
def audited(fleet: Fleet) -> Iterator[Audited]:
    made = Audited(fleet)
    yield made
    made.engine.dispose()


def test_a_command_is_told_before_its_host_is_asked(audited: Audited) -> None:
    agent = audited.host()
    agent.suspend()
    try:
        with ThreadPoolExecutor(1) as pool:
            done = pool.submit(audited.ask, "POST", "/execute", json={"command": "true"})
            until(lambda: [result for result, _ in audited.entries("vm_execute")] == ["accepted"])
            agent.resume()
            assert done.result().status_code == 200
    finally:
        agent.resume()
    assert [result for result, _ in audited.entries("vm_execute")] == ["accepted", "success"]


def test_an_upload_is_told_before_and_after(audited: Audited) -> None:
    form = {"path": "/root/x"}
    sent = audited.ask("POST", "/files/upload", data=form, files={"file": ("x", b"content")})
    assert sent.status_code == 200, sent.text
    assert [result for result, _ in audited.entries("file_upload")] == ["accepted", "success"]


def test_what_is_read_of_a_guest_is_told(audited: Audited) -> None:
    assert audited.ask("GET", "/files?path=/").status_code == 200
    ((result, details),) = audited.entries("file_list")
    assert (result, details["request"]["path"]) == ("accepted", "/")
    missing = audited.ask("GET", "/files/download?path=/not/there")
    assert missing.status_code == 404
    assert [result for result, _ in audited.entries("file_download")] == ["accepted", "refused"]
    begun = audited.ask("POST", "/execs", json={"command": "true"})
    assert begun.status_code == 201, begun.text
    exec_id = begun.json()["data"]["id"]
    assert audited.ask("GET", f"/execs/{exec_id}/output").status_code == 200
    ((result, details),) = audited.entries("exec_output")
    assert result == "accepted"
    audited.ask("GET", "")
    assert not audited.entries("access_denied")

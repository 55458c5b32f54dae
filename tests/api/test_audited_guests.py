"""What is done in a guest is in the audit log before its host is asked, and afterwards how it ended; reads are too."""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil
import pytest
import requests
from sqlalchemy import create_engine, text

from cli.fleet.fleet import Fleet
from tests.support.waiting import until


class Guest:
    """A VM that runs, and what the log says of it."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet, self.name = fleet, f"audited{secrets.token_hex(4)}"
        self.session = requests.Session()
        self.session.headers["X-API-Key"] = fleet.credentials.api_key
        self.engine = create_engine(fleet.database_url)
        body = {"name": self.name, "memory_mb": 512, "cpus": 1, "storage_gb": 10}
        for path, sent in (("/vms", body), (f"/vms/{self.name}/start", None)):
            self.ask("POST", path, json=sent, headers={"Prefer": "wait=20"}).raise_for_status()

    def ask(self, method: str, path: str, **options: Any) -> requests.Response:
        return self.session.request(method, f"{self.fleet.url}/api/v1{path}", timeout=60, **options)

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
def guest(fleet: Fleet) -> Any:
    made = Guest(fleet)
    yield made
    made.session.close()
    made.engine.dispose()


def test_a_command_is_told_before_its_host_is_asked(guest: Guest) -> None:
    agent = guest.host()
    agent.suspend()
    try:
        with ThreadPoolExecutor(1) as pool:
            done = pool.submit(guest.ask, "POST", f"/vms/{guest.name}/execute", json={"command": "true"})
            until(lambda: [result for result, _ in guest.entries("vm_execute")] == ["accepted"])
            agent.resume()
            assert done.result().status_code == 200
    finally:
        agent.resume()
    assert [result for result, _ in guest.entries("vm_execute")] == ["accepted", "success"]


def test_an_upload_is_told_before_and_after(guest: Guest) -> None:
    form = {"path": "/root/x"}
    sent = guest.ask("POST", f"/vms/{guest.name}/files/upload", data=form, files={"file": ("x", b"content")})
    assert sent.status_code == 200, sent.text
    assert [result for result, _ in guest.entries("file_upload")] == ["accepted", "success"]


def test_what_is_read_of_a_guest_is_told(guest: Guest) -> None:
    assert guest.ask("GET", f"/vms/{guest.name}/files?path=/").status_code == 200
    ((result, details),) = guest.entries("file_list")
    assert (result, details["request"]["path"]) == ("accepted", "/")
    missing = guest.ask("GET", f"/vms/{guest.name}/files/download?path=/not/there")
    assert missing.status_code == 404
    assert [result for result, _ in guest.entries("file_download")] == ["accepted", "refused"]
    begun = guest.ask("POST", f"/vms/{guest.name}/execs", json={"command": "true"})
    assert begun.status_code == 201, begun.text
    exec_id = begun.json()["data"]["id"]
    assert guest.ask("GET", f"/vms/{guest.name}/execs/{exec_id}/output").status_code == 200
    ((result, details),) = guest.entries("exec_output")
    assert result == "accepted"
    guest.ask("GET", f"/vms/{guest.name}")
    assert not guest.entries("access_denied")

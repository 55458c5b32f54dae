"""An orphan of a real agent: listed, adopted by the command line, and a VM like any other."""

from __future__ import annotations

import json
import shutil

from cli.fleet.fleet import Fleet
from corral import Client
from tests.clients.conftest import Run
from tests.support.waiting import until

HOST = "host-a"


def test_an_orphan_is_adopted_and_used(fleet: Fleet, corral: Run, client: Client, vm: str) -> None:
    known = client.request("GET", f"/vms/{vm}")["id"]
    orphan = "vm-adopted00000"
    vms = fleet.home / "hosts" / HOST / "vms"
    shutil.copytree(vms / known, vms / orphan)
    until(lambda: orphan in corral("host", "orphans", HOST, "-o", "name").stdout.split())

    adopt = ("host", "adopt-orphan", HOST, orphan, "--owner", "admin")
    assert "already exists" in corral(*adopt, code=5).stderr  # it is called as its model
    assert "no user 'nobody'" in corral(*adopt[:-1], "nobody", "--name", "found", code=1).stderr
    made = json.loads(corral(*adopt, "--name", "found", "-o", "json").stdout)
    assert (made["id"], made["owner"], made["status"], made["host"]) == (orphan, "admin", "running", HOST)
    assert "has no orphan" in corral(*adopt, "--name", "again", code=3).stderr

    assert corral("vm", "exec", "found", "echo hello").stdout == "hello\n"
    corral("vm", "stop", "found", "--force")
    corral("vm", "delete", "--yes", "found")
    assert not (vms / orphan).exists()
    assert orphan not in corral("host", "orphans", HOST, "-o", "name").stdout.split()
    entries = corral("audit", "list", "--action", "orphan_adopt", "-o", "json").stdout
    assert [each["result"] for each in json.loads(entries)][:2] == ["refused", "success"]


def test_what_its_host_has_no_more_is_refused(fleet: Fleet, corral: Run, client: Client, vm: str) -> None:
    known = client.request("GET", f"/vms/{vm}")["id"]
    orphan = "vm-gone00000000"
    vms = fleet.home / "hosts" / HOST / "vms"
    shutil.copytree(vms / known, vms / orphan)
    until(lambda: orphan in corral("host", "orphans", HOST, "-o", "name").stdout.split())
    (vms / orphan / "fake-state.json").unlink()
    refused = corral("host", "adopt-orphan", HOST, orphan, "--owner", "admin", "--name", "gone", code=3)
    assert "no driver of this host has a VM" in refused.stderr or "has no orphan" in refused.stderr
    shutil.rmtree(vms / orphan)

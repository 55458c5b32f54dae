"""Hosts that an administrator takes out for a while, by the command line, with a real agent on each."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from corral import Client, Conflict
from tests.clients.conftest import Run

HOST = "host-b"


@pytest.fixture(autouse=True)
def back(client: Client) -> Iterator[None]:
    yield
    client.hosts.activate(HOST)


def test_a_cordoned_host_takes_no_new_vms(corral: Run, client: Client) -> None:
    assert "Host 'host-b' is cordoned." in corral("host", "cordon", HOST, "--reason", "new disks").stderr
    rows = {row.split()[0]: row for row in corral("host", "list").stdout.splitlines()}
    assert "online, cordoned" in rows[HOST]
    assert "cordoned" not in rows["host-a"]
    standing = json.loads(corral("host", "show", HOST, "-o", "json").stdout)["standing"]
    assert (standing["state"], standing["by"], standing["reason"]) == ("cordoned", "admin", "new disks")

    with pytest.raises(Conflict, match="no host can take"):
        client.vms.create("on-b", hypervisor="fake", host=HOST)
    shown = corral("host", "uncordon", HOST, "-o", "json").stdout
    assert json.loads(shown)["standing"]["state"] == "active"
    client.vms.create("on-b", hypervisor="fake", host=HOST)
    client.vms.delete("on-b")


def test_what_is_refused_is_said(corral: Run) -> None:
    assert "host 'nowhere' not found" in corral("host", "cordon", "nowhere", code=3).stderr
    assert corral("host", "activate", HOST, "-o", "name").stdout.strip() == HOST

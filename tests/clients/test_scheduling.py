"""Hosts that an administrator takes out for a while, by the command line, with a real agent on each."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from corral import Client, Conflict
from tests.clients.conftest import Run
from tests.support.waiting import until

HOST = "host-b"


@pytest.fixture(autouse=True)
def back(client: Client) -> Iterator[None]:
    yield
    client.hosts.activate(HOST)
    until(lambda: client.hosts.get(HOST)["status"] == "online")


def test_a_cordoned_host_takes_no_new_vms(corral: Run, client: Client) -> None:
    assert "Host 'host-b' is cordoned." in corral("host", "cordon", HOST, "--reason", "new disks").stderr
    rows = {row.split()[0]: row for row in corral("host", "list").stdout.splitlines()}
    assert "online, cordoned" in rows[HOST]
    assert "cordoned" not in rows["host-a"]
    scheduling = json.loads(corral("host", "show", HOST, "-o", "json").stdout)["scheduling"]
    assert (scheduling["state"], scheduling["by"], scheduling["reason"]) == ("cordoned", "admin", "new disks")

    with pytest.raises(Conflict, match="no host can take"):
        client.vms.create("on-b", hypervisor="fake", host=HOST)
    shown = corral("host", "uncordon", HOST, "-o", "json").stdout
    assert json.loads(shown)["scheduling"]["state"] == "active"
    client.vms.create("on-b", hypervisor="fake", host=HOST)
    client.vms.delete("on-b")


def test_what_is_refused_is_said(corral: Run) -> None:
    assert "host 'nowhere' not found" in corral("host", "cordon", "nowhere", code=3).stderr
    assert corral("host", "activate", HOST, "-o", "name").stdout.strip() == HOST
    assert HOST in corral("host", "list", "--status", "online").stdout
    for status in ("alive", "silent"):
        assert "must be one of online, offline" in corral("host", "list", "--status", status, code=1).stderr


def test_a_host_is_drained_and_nothing_starts_there(corral: Run, client: Client) -> None:
    for name in ("drained-1", "drained-2"):
        client.vms.create(name, hypervisor="fake", host=HOST)
        client.vms.start(name)
    drain = ("host", "drain", HOST, "--strategy", "stop", "--grace", "0s", "--reason", "new disks")
    done = corral(*drain)
    assert "Host 'host-b' is drained." in done.stderr
    rows = dict(row.split()[:2] for row in done.stdout.splitlines()[1:])
    assert {"drained-1": "stopped", "drained-2": "stopped"}.items() <= rows.items()
    assert "online, drained" in corral("host", "list", "--scheduling", "drained").stdout
    assert "is drained (new disks)" in corral("vm", "start", "drained-1", code=5).stderr
    again = corral(*drain, "-o", "json").stdout  # of a host where nothing runs
    assert json.loads(again)["state"] == "succeeded"
    assert "drain" in corral("op", "list", "--host", HOST, "--kind", "drain").stdout
    corral("host", "activate", HOST)
    client.vms.start("drained-1")

    waiting = corral("host", "drain", HOST, "--strategy", "wait", "--no-wait").stdout.strip()
    assert client.operations.get(waiting).subject == f"host '{HOST}'"
    corral("op", "cancel", waiting)
    assert f"drain of host '{HOST}' cancelled" in corral("op", "wait", waiting, code=1).stderr
    failed = corral("host", "drain", HOST, "--strategy", "wait", "--deadline", "1s", code=1)
    assert "are not off at the drain's deadline" in failed.stderr
    assert "waiting" in failed.stdout
    for name in ("drained-1", "drained-2"):
        client.vms.delete(name)


def test_a_host_is_fenced_and_comes_back_as_it_was(corral: Run, client: Client) -> None:
    client.vms.create("stays", hypervisor="fake", host=HOST)
    corral("vm", "create", "moves", "--hypervisor", "fake", "--host", HOST, "--restart-policy", "elsewhere", "--start")
    assert "is online: power it off" in corral("host", "fence", HOST, code=5).stderr
    assert "Host 'host-b' is fenced." in corral("host", "fence", HOST, "--force", "--reason", "smoke").stderr
    assert "offline, fenced" in corral("host", "list").stdout
    until(lambda: client.vms.get("moves").host == "host-a" and client.vms.get("moves").status == "running")
    until(lambda: client.vms.get("stays").status == "lost")
    assert client.vms.get("moves").restart_policy == "elsewhere"
    assert "is fenced" in corral("host", "uncordon", HOST, code=5).stderr
    assert "host 'host-b' is fenced; delete it" in corral("vm", "start", "stays", code=5).stderr
    corral("host", "activate", HOST)
    until(lambda: client.vms.get("stays").status == "created")
    client.vms.start("stays")
    for name in ("stays", "moves"):
        client.vms.delete(name)


def test_secrets_of_hosts_are_rotated_while_they_work(corral: Run, client: Client) -> None:
    before = {each["name"]: each["secret"]["changed_at"] for each in client.hosts.list()}
    rows = dict(row.split()[:2] for row in corral("host", "rotate", "--all").stdout.splitlines()[1:])
    assert rows == dict.fromkeys(before, "rotated")
    after = {each["name"]: each["secret"]["changed_at"] for each in client.hosts.list()}
    assert all(after[name] > at for name, at in before.items())
    assert "changed_at" in corral("host", "show", HOST).stdout
    client.vms.create("after", hypervisor="fake", host=HOST)
    client.vms.start("after")
    client.vms.delete("after")
    assert "give the names" in corral("host", "rotate", code=2).stderr
    assert "host 'nowhere' not found" in corral("host", "rotate", "nowhere", code=3).stderr

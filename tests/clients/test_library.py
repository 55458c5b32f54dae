"""What a program does with the library, on a real fleet."""

from __future__ import annotations

import asyncio
import threading
import uuid
from pathlib import Path

import pytest

from cli.fleet.fleet import Fleet
from corral import (
    AsyncClient,
    Client,
    Conflict,
    Forbidden,
    InvalidRequest,
    NotConfigured,
    NotFound,
    OperationFailed,
    Unauthenticated,
    Unreachable,
)
from corral.access import Access, Contexts
from corral.models import Operation


def test_the_life_of_a_vm(client: Client, vm: str) -> None:
    found = client.vms.get(vm)
    assert (found.status, found.hypervisor, found.vcpus) == ("running", "fake", 1)
    assert client.commands.run(vm, "echo hello").stdout == "hello\n"
    assert client.vms.stop(vm).state == "succeeded"
    assert client.vms.get(vm).status == "stopped"
    client.vms.delete(vm)
    with pytest.raises(NotFound) as refused:
        client.vms.get(vm)
    assert vm in refused.value.message
    assert refused.value.request_id


def test_progress_is_told_until_the_end(client: Client, vm: str) -> None:
    heard: list[Operation] = []
    client.vms.restart(vm, tell=heard.append)
    assert heard[-1].state == "succeeded"
    assert {each.id for each in heard} == {heard[0].id}


def test_what_is_not_waited_for_can_be_later(client: Client, vm: str) -> None:
    begun = client.vms.stop(vm, wait=False)
    assert client.operations.wait(begun.id).state == "succeeded"
    assert [each.id for each in client.operations.list(vm=vm, kind="stop")] == [begun.id]


def test_a_failure_says_why(client: Client) -> None:
    name = f"vm-{uuid.uuid4().hex[:8]}"
    with pytest.raises((OperationFailed, Conflict, NotFound, InvalidRequest)) as refused:
        client.vms.create(name, hypervisor="fake", image="no-such-image")
    assert "no-such-image" in refused.value.message


def test_a_wrong_field_is_named(client: Client) -> None:
    with pytest.raises(InvalidRequest) as refused:
        client.vms.create("x", vcpus=0)
    assert "vcpus" in refused.value.message


def test_lists_are_read_to_their_end(client: Client) -> None:
    names = [f"page-{uuid.uuid4().hex[:8]}" for _ in range(3)]
    for name in names:
        client.vms.create(name, hypervisor="fake")
    listed = [each.name for each in client.vms.list(sort="created_at", order="desc", limit=3)]
    assert sorted(listed) == sorted(names)
    assert set(names) <= {each.name for each in client.vms.list()}
    for name in names:
        client.vms.delete(name)


def test_snapshots_files_and_devices(client: Client, vm: str, tmp_path: Path) -> None:
    source, target = tmp_path / "a", tmp_path / "b"
    source.write_bytes(b"\x00\xff" * 100_000)
    assert client.files.upload(vm, source, "/srv/data") == 200_000
    assert client.files.download(vm, "/srv/data", target) == 200_000
    assert target.read_bytes() == source.read_bytes()
    assert [entry.name for entry in client.files.list(vm, "/srv")] == ["data"]
    client.snapshots.create(vm, "good", include_memory=True)
    assert [each.name for each in client.snapshots.list(vm)] == ["good"]
    client.snapshots.restore(vm, "good")
    client.snapshots.delete(vm, "good")
    client.devices.forward(vm, 80)
    (forward,) = client.devices.forwards(vm)
    assert forward.guest_port == 80
    client.devices.remove_forward(vm, forward.host_port)
    assert list(client.devices.forwards(vm)) == []


def test_a_command_that_runs_on_is_read_to_its_end(client: Client, vm: str) -> None:
    begun = client.commands.begin(vm, "echo one; echo two", name="count")
    text = b"".join(each.data for each in client.commands.output(vm, begun.id) if each.stream == "stdout")
    assert text == b"one\ntwo\n"
    assert client.commands.get(vm, begun.id).state == "exited"


def test_events_go_on_through_a_restart_of_the_api(fleet: Fleet, client: Client, vm: str) -> None:
    heard: list[str] = []
    first, done = threading.Event(), threading.Event()

    def listen() -> None:
        with Client(fleet.url, fleet.credentials.api_key) as other:
            for event in other.events(vm, after=0):
                heard.append(event.data.get("new_status", ""))
                first.set()
                if event.data.get("new_status") == "stopped":
                    done.set()
                    return

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    assert first.wait(30)
    fleet.kill("api", hold=True)
    fleet.restart("api")
    client.vms.stop(vm)
    assert done.wait(30)
    assert "running" in heard


def test_the_same_with_await(fleet: Fleet) -> None:
    async def life() -> tuple[str, list[str]]:
        async with AsyncClient(fleet.url, fleet.credentials.api_key) as client:
            async with client.sandbox(hypervisor="fake") as box:
                said = (await box.run("echo hello")).stdout
                await box.write("/srv/x", b"some bytes")
                assert await box.read("/srv/x") == b"some bytes"
                address, port = await box.expose(80)
                assert address
                assert port
            names = [each.name async for each in client.vms.list()]
            return said, [name for name in names if name == box.name]

    assert asyncio.run(life()) == ("hello\n", [])


def test_a_time_to_live_ends_a_vm(client: Client, vm: str) -> None:
    assert client.vms.get(vm).expires_at is None
    given = client.vms.set_ttl(vm, 60).expires_at
    assert given is not None
    with pytest.raises(InvalidRequest, match="ttl_seconds"):
        client.vms.set_ttl(vm, 1)
    assert client.vms.get(vm).expires_at == given
    assert client.vms.set_ttl(vm, None).expires_at is None


def test_a_sandbox_is_gone_when_its_user_fails(client: Client) -> None:
    with pytest.raises(ZeroDivisionError), client.sandbox(hypervisor="fake") as box:
        raise ZeroDivisionError
    with pytest.raises(NotFound):
        client.vms.get(box.name)


def test_a_password_is_as_good_as_a_key(fleet: Fleet) -> None:
    with Client(fleet.url, username=fleet.credentials.username, password=fleet.credentials.password) as client:
        client.transport._token = "not.a.token"  # as if it had expired
        assert client.status()["api_version"]


def test_a_wrong_credential_and_a_wrong_address(fleet: Fleet) -> None:
    with Client(fleet.url, "corral_wrong") as client, pytest.raises(Unauthenticated):
        client.status()
    with Client("http://127.0.0.1:1", "corral_x") as client, pytest.raises(Unreachable, match=r"127\.0\.0\.1:1"):
        client.status()


def test_contexts(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotConfigured, match="corral login"):
        Client()
    Contexts("lab", {"lab": Access("http://lab", "one"), "ci": Access("http://ci", "two")}).save()
    assert config.stat().st_mode & 0o777 == 0o600
    assert Client().transport.access == Access("http://lab", "one")
    assert Client(context="ci").transport.access == Access("http://ci", "two")
    with pytest.raises(NotConfigured, match="known: ci, lab"):
        Client(context="home")
    monkeypatch.setenv("CORRAL_URL", "http://elsewhere/")
    assert Client().transport.access == Access("http://elsewhere", ""), "a token is sent to its own fleet alone"
    monkeypatch.setenv("CORRAL_TOKEN", "three")
    assert Client().transport.access == Access("http://elsewhere", "three")
    assert "three" not in repr(Client().transport.access)
    config.write_text("{")
    monkeypatch.delenv("CORRAL_URL")
    with pytest.raises(NotConfigured, match=r"config\.json can't be read"):
        Client()


def test_keys_are_made_used_and_revoked(fleet: Fleet, client: Client) -> None:
    made = client.keys.create("reader", access="read")
    assert made.key is not None
    with Client(fleet.url, made.key) as reader:
        assert reader.status()["api_version"]
        with pytest.raises(Forbidden):
            reader.vms.create("not-allowed", hypervisor="fake")
        client.keys.revoke(made.id)
        with pytest.raises(Unauthenticated):
            reader.status()

"""Prefetches: an image is on a host before a VM needs it there, through restarts, and on no other host."""

from __future__ import annotations

from pathlib import Path

import click.testing
import pytest

from cli.fleet.fleet import Fleet
from cli.main import main
from corral import Client, InvalidRequest, NotFound, OperationFailed, Unreachable
from corral.models import Operation
from tests.images.cold import Cold
from tests.support.waiting import until


def begin(client: Client, cold: Cold, name: str) -> Operation:
    """By that host alone."""
    begun = client.images.prefetch(name, hosts=[cold.name], wait=False)
    assert begun.skipped == []
    (operation,) = begun.operations
    return operation


def ended(client: Client, operation: Operation) -> Operation:
    """However it ends."""
    try:
        return client.operations.wait(operation.id)
    except OperationFailed:
        return client.operations.get(operation.id)


def test_the_next_vm_does_not_wait(client: Client, cold: Cold) -> None:
    image = cold.add_image(8)
    cold.join(mb_per_second=4)
    operation = begin(client, cold, image.name)
    assert (operation.kind, operation.host, operation.vm_id) == ("image_prefetch", cold.name, "")
    until(lambda: 0 < percent(client, operation) < 100)
    assert ended(client, operation).state == "succeeded"
    assert cold.has(image)
    asked = cold.answers(image)
    client.vms.create("warm", image=image.name, host=cold.name, hypervisor="fake", disk_gb=1)
    assert cold.answers(image) == asked
    until(lambda: cold.name in client.images.get(image.name).hosts)
    again = client.images.prefetch(image.name, hosts=[cold.name])
    assert (again.operations, again.skipped) == (
        [],
        [{"host": cold.name, "reason": "has the image already", "has_image": True}],
    )


def percent(client: Client, operation: Operation) -> int:
    """How far it says that it is."""
    told = client.operations.get(operation.id).progress
    return 0 if told is None or told.percent is None else told.percent


def test_it_is_one_operation_however_often_it_is_asked_for(client: Client, cold: Cold) -> None:
    image = cold.add_image(20)
    cold.join(mb_per_second=2)
    first = begin(client, cold, image.name)
    assert begin(client, cold, image.name).id == first.id
    until(lambda: cold.parts() > 0)
    client.operations.cancel(first.id)
    assert ended(client, first).state == "cancelled"
    assert begin(client, cold, image.name).id != first.id


@pytest.mark.parametrize("process", ["agent", "worker", "api"])
def test_a_death_delays_it_and_does_not_end_it(client: Client, cold: Cold, process: str) -> None:
    image = cold.add_image(12)
    cold.join(mb_per_second=2)
    operation = begin(client, cold, image.name)
    until(lambda: cold.parts() > image.size_bytes // 4)
    if process == "agent":
        cold.kill()
        cold.start()
    else:
        cold.fleet.kill(process)
    assert until(lambda: ended(client, operation), despite=Unreachable).state == "succeeded"
    assert cold.has(image)
    assert cold.answers(image).count(200) == 1  # the rest was asked for from where it was


def test_an_image_that_goes_away_fails_it(client: Client, cold: Cold) -> None:
    image = cold.add_image(20)
    cold.join(mb_per_second=2)
    operation = begin(client, cold, image.name)
    until(lambda: cold.parts() > 0)
    cold.kill()
    client.images.delete(image.name)
    cold.start()
    failed = ended(client, operation)
    assert failed.error is not None
    assert (failed.state, failed.error.code) == ("failed", "image_not_found")


def test_what_is_wrong_with_a_request_is_said(client: Client, cold: Cold) -> None:
    image = cold.add_image(1)
    cold.join()
    with pytest.raises(NotFound, match="image 'none' not found"):
        client.images.prefetch("none")
    with pytest.raises(NotFound, match="host 'none' not found"):
        client.images.prefetch(image.name, hosts=["none", cold.name])
    for wrong in ({"label": "=x"}, {"hosts": "host-a"}, {"hosts": [1]}, {"deadline_seconds": 0}, {"more": 1}):
        with pytest.raises(InvalidRequest):
            client.request("POST", f"/images/{image.name}/prefetch", wrong)
    assert client.images.prefetch(image.name, label="no-host=has-this").operations == []
    assert list(cold.pulled.glob("blobs/*")) == []


def test_the_command_shows_each_host_and_what_was_missed(
    fleet: Fleet, client: Client, cold: Cold, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = cold.add_image(1)
    cold.join()
    client.hosts.label(cold.name, {"zone": cold.name})
    monkeypatch.setenv("CORRAL_CONFIG", str(tmp_path / "none.json"))
    monkeypatch.setenv("CORRAL_URL", fleet.url)
    monkeypatch.setenv("CORRAL_TOKEN", fleet.credentials.api_key)
    command = ["image", "prefetch", image.name]
    done = click.testing.CliRunner().invoke(main, [*command, "--label", f"zone={cold.name}"])
    assert done.exit_code == 0, done.output
    assert [line.split()[:2] for line in done.stdout.splitlines()] == [["HOST", "STATE"], [cold.name, "succeeded"]]
    assert cold.has(image)
    cold.kill()
    until(lambda: client.hosts.get(cold.name)["status"] == "offline")
    client.images.delete(image.name)
    cold.add_image(2)
    missed = click.testing.CliRunner().invoke(main, [*command, "--host", cold.name])
    assert (missed.exit_code, missed.stdout.splitlines()[1].split()) == (
        1,
        [cold.name, "skipped", "-", "is", "offline"],
    )

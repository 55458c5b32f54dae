"""A host that lacks an image gets it from the API: once, whole, and on from where it was whatever breaks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from corral import Client, OperationFailed, Unreachable
from tests.images.cutting import Cutting
from tests.support.waiting import until

if TYPE_CHECKING:
    from corral.models import Operation
    from tests.images.cold import Cold

MANY, CUTS = 50, 20


@pytest.fixture
def cutting(cold: Cold) -> Iterator[Cutting]:
    """What is between the machine and the API."""
    made = Cutting(cold.fleet.url)
    yield made
    made.close()


def begin(client: Client, cold: Cold, name: str) -> Operation:
    """A VM of the image is to be made there, and is not waited for."""
    return client.vms.create(name, image=f"of-{cold.name}", host=cold.name, hypervisor="fake", disk_gb=1, wait=False)


def progress(client: Client, operation: Operation) -> tuple[str, int]:
    """How far it says that it is."""
    told = client.operations.get(operation.id).progress
    return ("", 0) if told is None else (told.step, told.percent or 0)


def test_fifty_creates_at_once_are_one_pull_and_others_go_on_meanwhile(
    client: Client, cold: Cold, cutting: Cutting
) -> None:
    image, small = cold.add_image(20), cold.add_image(1, "small")
    cold.join("--concurrency=2", api=cutting.url)
    client.vms.create("other", image=small.name, host=cold.name, hypervisor="fake", disk_gb=1)
    cutting.hold(after=image.size_bytes // 2)
    begun = [begin(client, cold, f"vm-{number}") for number in range(MANY)]
    step, _ = until(lambda: next((told for each in begun if (told := progress(client, each))[1] > 0), None))
    assert step == f"pulling image '{image.name}'"
    assert client.vms.get("vm-0").status == "creating"
    assert client.images.get(image.name).hosts == ["host-a"]

    client.vms.start("other")
    client.vms.delete("vm-0")
    client.operations.cancel(begun[1].id)
    with pytest.raises(OperationFailed, match="cancelled"):
        client.operations.wait(begun[1].id)
    assert client.operations.get(begun[2].id).is_live

    cutting.flow.set()
    for each in begun[2:]:
        client.operations.wait(each.id)
    assert cold.has(image)
    assert cold.answers(image).count(200) == 1  # what was held for long is asked for from there on
    until(lambda: client.images.get(image.name).hosts == sorted([cold.name, "host-a"]))
    assert client.vms.get("vm-2").status == "created"
    asked = cold.answers(image)
    client.vms.create("one-more", image=image.name, host=cold.name, hypervisor="fake", disk_gb=1)
    assert cold.answers(image) == asked


def test_a_pull_that_is_cut_again_and_again_sends_hardly_anything_twice(
    client: Client, cold: Cold, cutting: Cutting
) -> None:
    image = cold.add_image(100)
    cold.join(api=cutting.url)
    cutting.passed, cutting.cuts, cutting.every = 0, CUTS, image.size_bytes // (CUTS + 1)
    client.operations.wait(begin(client, cold, "cut").id)
    assert cutting.cuts == 0
    assert cold.has(image)
    assert cold.answers(image) == [200] + [206] * CUTS
    assert image.size_bytes <= cutting.passed < 1.05 * image.size_bytes


def test_an_agent_that_is_killed_goes_on_where_it_was(client: Client, cold: Cold) -> None:
    image = cold.add_image(20)
    cold.join(mb_per_second=4)
    begun = begin(client, cold, "killed")
    until(lambda: cold.parts() > image.size_bytes // 3)
    cold.kill()
    there = cold.parts()
    assert list(cold.pulled.glob("blobs/*[!t]")) == []  # nothing has a whole one's name
    cold.start()
    client.operations.wait(begun.id)
    assert cold.has(image)
    assert cold.answers(image) == [200, 206]
    assert there < image.size_bytes


def test_the_api_may_be_started_anew_meanwhile(client: Client, cold: Cold, cutting: Cutting) -> None:
    image = cold.add_image(20)
    cold.join(api=cutting.url)
    cutting.hold(after=image.size_bytes // 3)
    begun = begin(client, cold, "patient")
    until(lambda: cold.parts() > image.size_bytes // 4)
    cold.fleet.kill("api")
    cutting.flow.set()
    until(lambda: client.operations.wait(begun.id), despite=Unreachable)
    assert cold.has(image)
    assert cold.answers(image)[-1] == 206


def test_another_content_than_the_digest_says_is_refused_and_leaves_nothing(client: Client, cold: Cold) -> None:
    image = cold.add_image(4)
    disk = cold.fleet.plan.images / image.name / image.disk.name
    right = disk.read_bytes()
    disk.write_bytes(right[:-1] + bytes([right[-1] ^ 1]))
    cold.join()
    with pytest.raises(OperationFailed, match="with another digest than its own") as failed:
        client.operations.wait(begin(client, cold, "damaged").id)
    assert failed.value.code == "image_damaged"
    assert cold.parts() == 0
    assert not (cold.pulled / "blobs" / image.disk.sha256).exists()
    assert list((cold.pulled / "manifests").iterdir()) == []

    disk.write_bytes(right)
    client.operations.wait(begin(client, cold, "damaged").id)
    assert cold.has(image)


def test_a_file_that_is_cut_short_in_the_store_is_said_to_be_damaged(client: Client, cold: Cold) -> None:
    image = cold.add_image(4)
    disk = cold.fleet.plan.images / image.name / image.disk.name
    disk.write_bytes(disk.read_bytes()[:-512])
    cold.join()
    with pytest.raises(OperationFailed, match="is damaged: remove it, and add it again"):
        client.operations.wait(begin(client, cold, "short").id)

"""/image-contents: a host gets the images that it needs, by its proof; nobody else gets anything."""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from pathlib import Path
from typing import Any

import pytest

from core import images
from core.contract import proofs
from core.contract.images import ImageManifest, of_content
from core.models import Vm
from core.models.base import now
from core.services.context import SYSTEM
from core.services.identities import accounts, rotations
from tests.api.world import Caller, World, problem
from tests.disks import bootable, kernel

SECRET = "what host-a alone knows"
SHA256 = hashlib.sha256(SECRET.encode()).hexdigest()


@pytest.fixture(scope="module")
def image(world: World, tmp_path_factory: pytest.TempPathFactory) -> ImageManifest:
    folder = tmp_path_factory.mktemp("files")
    (folder / "disk").write_bytes(bootable())
    (folder / "kernel").write_bytes(kernel())
    store = world.settings.images
    return images.add(store, f"i{secrets.token_hex(4)}", folder / "disk", kernel=folder / "kernel")


@pytest.fixture(scope="module")
def other(world: World) -> str:
    """A host without a VM."""
    return world.add_host("other")


@pytest.fixture(scope="module")
def caller(world: World, image: ImageManifest, other: str) -> Caller:
    """The owner of a VM on host-a that is made of the image; the other host has no such VM."""
    with world.context.transaction() as session:
        for host in ("host-a", other):
            accounts.admit(session, host, SHA256 if host == "host-a" else "0" * 64)
    owner = world.caller()
    world.add_vm(owner, "of-image", image=image.name, image_digest=image.digest)
    return owner


def shown(path: str, *, host: str = "host-a", sha256: str = SHA256, ago: float = 0.0) -> dict[str, str]:
    return {"Authorization": proofs.header(host, sha256, "GET", path, time.time() - ago)}


def ask(world: World, path: str, headers: dict[str, str] | None = None, **range_: str) -> Any:
    answer = world.get(path, (shown(path) if headers is None else headers) | range_)
    answer.get_data()
    answer.close()  # as a server does
    return answer


def test_the_host_gets_manifest_and_files_whole_and_in_part(world: World, image: ImageManifest, caller: Caller) -> None:
    answer = ask(world, f"/image-contents/{image.digest}")
    assert answer.status_code == 200, answer.text
    assert of_content(answer.data, image.digest) == image
    assert image.kernel is not None
    for file in (image.disk, image.kernel):
        whole = ask(world, f"/image-contents/{image.digest}/{file.sha256}")
        assert hashlib.sha256(whole.data).hexdigest() == file.sha256
        rest = ask(world, f"/image-contents/{image.digest}/{file.sha256}", Range="bytes=1000-")
        assert (rest.status_code, rest.data) == (206, whole.data[1000:])
        assert rest.headers["Content-Range"] == f"bytes 1000-{file.size_bytes - 1}/{file.size_bytes}"
    beyond = ask(world, f"/image-contents/{image.digest}/{image.disk.sha256}", Range="bytes=99999999-")
    assert beyond.status_code == 416


def test_another_host_s_proof_and_users_get_nothing(
    world: World, image: ImageManifest, caller: Caller, other: str
) -> None:
    for path in (f"/image-contents/{image.digest}", f"/image-contents/{image.digest}/{image.disk.sha256}"):
        assert ask(world, path, shown(path, host=other, sha256="0" * 64)).status_code == 404
        as_another = problem(ask(world, path, shown(path, host=other)))  # signed by host-a's secret
        assert (as_another[0], as_another[1]) == (401, "unauthorized")
        for headers in (
            caller.bearer,
            caller.key,
            world.caller("admin").bearer,
            {},
            {"Authorization": "Corral-Host x"},
        ):
            assert problem(ask(world, path, headers))[0] == 401


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"sha256": "1" * 64}, "is not valid"),
        ({"host": "nobody"}, "is not valid"),
        ({"ago": 400.0}, "s behind the control plane's"),
        ({"ago": -400.0}, "s ahead of the control plane's"),
    ],
)
def test_a_proof_that_does_not_hold_says_why(
    world: World, image: ImageManifest, caller: Caller, changes: dict[str, Any], why: str
) -> None:
    path = f"/image-contents/{image.digest}"
    answer = ask(world, path, shown(path, **changes))
    assert (answer.status_code, why in answer.json["message"]) == (401, True), answer.text


def test_while_its_secret_is_rotated_a_host_may_show_either(world: World, image: ImageManifest, caller: Caller) -> None:
    path, made = f"/image-contents/{image.digest}", "2" * 64
    with world.context.transaction() as session:
        rotations.begin(session, SYSTEM, "host-a")
        rotation = rotations.look(session, "host-a")
        assert rotation is not None
        rotations.offer(session, rotation, made)
    assert [ask(world, path, shown(path, sha256=each)).status_code for each in (SHA256, made)] == [200, 200]
    with world.context.transaction() as session:
        rotations.finish(session, rotation, made)
    assert [ask(world, path, shown(path, sha256=each)).status_code for each in (SHA256, made)] == [401, 200]
    with world.context.transaction() as session:
        accounts.admit(session, "host-a", SHA256)


def test_a_proof_is_for_one_path_and_its_own_time(world: World, image: ImageManifest, caller: Caller) -> None:
    path = f"/image-contents/{image.digest}"
    assert ask(world, f"{path}/{image.disk.sha256}", shown(path)).status_code == 401
    scheme, _, word = shown(path, ago=400.0)["Authorization"].partition(" ")
    host, _, code = word.split(":")
    for at in (f"{time.time():.3f}", "nan", "inf", "1e400", "x", ""):
        assert ask(world, path, {"Authorization": f"{scheme} {host}:{at}:{code}"}).status_code == 401


def test_what_nobody_there_needs_is_not_found(world: World, image: ImageManifest, caller: Caller) -> None:
    absent = "sha256:" + "a" * 64
    for path in (
        f"/image-contents/{absent}",
        "/image-contents/x",
        f"/image-contents/{image.digest}/{'b' * 64}",
        f"/image-contents/{image.digest}/manifest.json",
        f"/image-contents/{image.digest}/..%2Fmanifest.json",
    ):
        assert ask(world, path).status_code == 404, path
    vm_id = world.add_vm(caller, "of-none", image="none", image_digest=absent)
    assert problem(ask(world, f"/image-contents/{absent}")) == (404, "not_found")
    with world.context.transaction() as session:
        session.get_one(Vm, vm_id).deleted_at = now()


def test_with_its_last_vm_a_host_needs_it_no_more(
    world: World, image: ImageManifest, caller: Caller, other: str
) -> None:
    with world.context.transaction() as session:
        accounts.admit(session, other, SHA256)
    vm_id = world.add_vm(caller, "there", host_name=other, image=image.name, image_digest=image.digest)
    path = f"/image-contents/{image.digest}"
    assert ask(world, path, shown(path, host=other)).status_code == 200
    with world.context.transaction() as session:
        session.get_one(Vm, vm_id).deleted_at = now()
    assert ask(world, path, shown(path, host=other)).status_code == 404
    with world.context.transaction() as session:
        accounts.expel(session, other)
    assert ask(world, path, shown(path, host=other)).status_code == 401


def test_what_is_damaged_in_the_store_is_not_sent(world: World, image: ImageManifest, caller: Caller) -> None:
    disk: Path = world.settings.images / image.name / image.disk.name
    whole = disk.read_bytes()
    disk.write_bytes(whole[:-512])
    answer = ask(world, f"/image-contents/{image.digest}/{image.disk.sha256}")
    assert (answer.status_code, "is damaged" in answer.json["message"]) == (409, True)
    disk.write_bytes(whole)


def test_only_so_many_are_served_at_once(world: World, image: ImageManifest, caller: Caller) -> None:
    path, downloads = f"/image-contents/{image.digest}/{image.disk.sha256}", world.context.downloads
    held = [downloads.one("") for _ in range(32)]
    for each in held:
        each.__enter__()
    answer = ask(world, path)
    assert (answer.status_code, "Retry-After" in answer.headers) == (429, True), answer.text
    for each in held:
        each.__exit__(None, None, None)
    for _ in range(40):  # each gives its place back
        assert ask(world, path).status_code == 200


def test_a_create_is_of_the_fleet_s_image(world: World, image: ImageManifest) -> None:
    owner = world.caller()
    body = {"name": "named", "template": image.name, "hypervisor": "fake"}
    refused = world.post("/vms", owner.bearer, json=body)
    assert refused.status_code == 409
    reasons = json.dumps(refused.json["details"]["rejected"])
    assert f"does not have image '{image.name}', and its agent has no address of the API" in reasons

"""/images: uploads are streamed into the store, for administrators."""

from __future__ import annotations

import io
import secrets
from typing import Any

import pytest
from werkzeug.datastructures import FileStorage
from werkzeug.test import encode_multipart

from tests.api.world import Caller, World, problem
from tests.disks import bootable, kernel

DISK = bootable()


@pytest.fixture(scope="module")
def admin(world: World) -> Caller:
    return world.caller("admin")


def _file(data: bytes) -> FileStorage:
    return FileStorage(io.BytesIO(data), "a.file")


def _form(name: str, disk: bytes = DISK, **more: Any) -> dict[str, Any]:
    return {"name": name, "disk": _file(disk), **more}


def _send(world: World, headers: dict[str, str], form: dict[str, Any]) -> Any:
    boundary, data = encode_multipart(form)
    return world.post("/images", headers, data=data, content_type=f"multipart/form-data; boundary={boundary}")


def _leftovers(world: World) -> list[str]:
    return [path.name for path in world.settings.images.glob(".upload-*")]


@pytest.mark.parametrize("dialect", ["microvm", "vboxmcp"])
def test_an_image_is_added_shown_and_removed(world: World, admin: Caller, dialect: str) -> None:
    headers = admin.headers(dialect)
    form = _form(f"own-{dialect}", os_type="linux", kernel=_file(kernel()), cmdline="quiet", guest_agent="true")
    made = _send(world, headers, form)
    assert made.status_code == 201, made.text
    shown = made.json if dialect == "microvm" else made.json["data"]
    assert (shown["format"], shown["has_kernel"], shown["guest_agent"]) == ("raw", True, True)
    assert shown["size_bytes"] == len(DISK) + len(kernel())
    assert shown["digest"].startswith("sha256:")
    one = world.get(f"/images/own-{dialect}", world.caller().headers(dialect)).json
    assert (one if dialect == "microvm" else one["data"]) == shown
    listed = world.get("/images", headers).json
    assert shown in (listed["images"] if dialect == "microvm" else listed["data"])
    assert problem(_send(world, headers, _form(f"own-{dialect}")))[0] == 409
    assert world.delete(f"/images/own-{dialect}", headers).status_code == 204
    assert problem(world.get(f"/images/own-{dialect}", headers))[0] == 404
    assert problem(world.delete(f"/images/own-{dialect}", headers))[0] == 404
    assert _leftovers(world) == []


def test_only_administrators_change_the_store_and_others_upload_nothing(world: World) -> None:
    caller, reader = world.caller(), world.caller("admin", access="read")
    for headers in (caller.bearer, reader.key):
        assert problem(_send(world, headers, _form("mine"))) == (403, "forbidden")
        assert problem(world.delete("/images/mine", headers)) == (403, "forbidden")
    assert problem(_send(world, {}, _form("mine"))) == (401, "unauthorized")


def test_forms_that_will_not_do(world: World, admin: Caller) -> None:
    for form in (
        {"name": "x"},
        {"disk": _file(DISK)},
        _form("Upper"),
        _form("a/b"),
        _form("x", os_type="beos"),
        _form("x", unknown="1"),
        _form("x", guest_agent="maybe"),
        _form("x", cmdline="c" * 5000),
        {"name": "x", "disk": "text"},
        {"name": _file(b"x"), "disk": _file(DISK)},
    ):
        assert problem(_send(world, admin.bearer, form)) == (422, "validation_error"), form
    for form in (_form("x", disk=b"no disk"), _form("x", cmdline="quiet"), _form("x", disk=b"")):
        assert problem(_send(world, admin.bearer, form)) == (400, "bad_request"), form
    assert problem(world.post("/images", admin.bearer, json={"name": "x"})) == (415, "unsupported_media_type")
    without_boundary = world.post("/images", admin.bearer, data=b"x", content_type="multipart/form-data")
    assert problem(without_boundary) == (422, "validation_error")
    assert problem(_send(world, admin.bearer, _form("x", description="d" * 600_000))) == (413, "payload_too_large")
    assert world.get("/images/x", admin.bearer).status_code == 404
    assert _leftovers(world) == []


def test_the_same_upload_again_is_the_same_image(world: World, admin: Caller) -> None:
    headers = admin.bearer | {"Idempotency-Key": secrets.token_hex(8)}
    first = _send(world, headers, _form("twice"))
    second = _send(world, headers, _form("twice"))
    assert (first.status_code, second.status_code) == (201, 201)
    assert second.headers["Idempotency-Replayed"] == "true"
    other = _send(world, headers, _form("twice", disk=b"\1" + DISK[1:]))
    assert problem(other) == (409, "conflict")


def test_a_body_beyond_the_limit_is_fine_here_alone(world: World, admin: Caller) -> None:
    assert len(DISK) > world.settings.max_body_mb << 20
    assert _send(world, admin.key, _form("large")).status_code == 201

"""Files in guests: forms and queries that will not do, and who may not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import requests

from tests.api.filing import Files

BAD_FORMS: list[Callable[[], Any]] = [
    lambda: {"files": {"file": b"x"}},
    lambda: {"data": {"path": "/x"}, "files": {"other": b"x"}},
    lambda: {"files": {"path": (None, "/x")}},
    lambda: {"files": [("file", ("a", b"x")), ("file", ("b", b"x")), ("path", (None, "/x"))]},
    lambda: {"files": [("file", ("a", b"x")), ("path", (None, "/x")), ("path", (None, "/y"))]},
    lambda: {"files": [("file", (None, "text")), ("path", (None, "/x"))]},
    lambda: {"data": {"path": "/x", "unknown": "1"}, "files": {"file": b"x"}},
    *[
        lambda path=path: {"data": {"path": path}, "files": {"file": b"x"}}
        for path in ("", "x", "./x", "/", "/x/", "/a\0b", "/" + "x" * 5000, "/" + "x" * 100_000)
    ],
    *[
        lambda permissions=permissions: {"data": {"path": "/x", "permissions": permissions}, "files": {"file": b"x"}}
        for permissions in ("", "6", "64", "06444", "888", "rwx", "-644", "0o644")
    ],
    lambda: {"files": [("file", ("a", b"x")), ("path", (None, "relative"))]},
    lambda: {"data": b"no form", "headers": {"Content-Type": "multipart/form-data"}},
]


@pytest.mark.parametrize("number", range(len(BAD_FORMS)))
def test_forms_that_will_not_do(files: Files, number: int) -> None:
    answer = files.call("POST", "/vms/files/files/upload", **BAD_FORMS[number]())
    assert (answer.status_code, answer.json()["error"]) == (422, "validation_error"), answer.text
    in_vboxmcp = files.call("POST", "/vms/files/files/upload", "vboxmcp", **BAD_FORMS[number]())
    assert in_vboxmcp.status_code == 400


def test_bodies_that_are_no_forms(files: Files) -> None:
    where = "/vms/files/files/upload"
    assert files.call("POST", where, json={"path": "/x"}).status_code == 415
    assert files.call("POST", where).status_code == 415
    form = {"Content-Type": "multipart/form-data; boundary=x"}
    whole, too_long = b"--x--\r\n", b"\0" * 3_000_000
    expected = {b"": 400, b"--x": 400, b"--x\r\n\r\n\r\n": 400, whole: 422, too_long: 413}
    for body, status in expected.items():
        answer = files.call("POST", where, data=body, headers=form)
        assert answer.status_code == status, (body[:20], answer.text)


@pytest.mark.parametrize(
    "query",
    ["", "path=", "path=x", "path=..", "path=/a%00b", "path=" + "/x" * 3000, "path=%ff"],
)
def test_queries_that_will_not_do(files: Files, query: str) -> None:
    answer = files.call("GET", f"/vms/files/files/download?{query}")
    assert answer.status_code == 422, answer.text
    if query:  # a list without a path is that of a guest's home
        assert files.call("GET", f"/vms/files/files?{query}").status_code == 422


def test_of_several_paths_one_is_looked_for(files: Files) -> None:
    assert files.call("GET", "/vms/files/files/download?path=/x&path=/y&path=").status_code == 404


@pytest.mark.parametrize("query", ["recursive=maybe", "limit=0", "limit=101", "limit=x", "offset=-1"])
def test_lists_that_will_not_do(files: Files, query: str) -> None:
    assert files.call("GET", f"/vms/files/files?{query}").status_code == 422
    assert files.call("GET", f"/vms/files/files?{query}", "vboxmcp").status_code == 400


def test_files_of_a_vm_that_does_not_run_or_is_not_theirs(files: Files) -> None:
    files.call("POST", "/vms", json={"name": "still"}).raise_for_status()
    form: Any = {"data": {"path": "/x"}, "files": {"file": b"x"}}
    for name, expected in (("still", 409), ("none", 404)):
        assert files.call("POST", f"/vms/{name}/files/upload", **form).status_code == expected
        assert files.call("GET", f"/vms/{name}/files/download?path=/x").status_code == expected
        assert files.call("GET", f"/vms/{name}/files").status_code == expected
    other = Files(files.fleet)
    other.call("DELETE", "/vms/files")
    assert other.call("GET", "/vms/still/files").status_code == 404
    files.call("DELETE", "/vms/still")


def test_a_key_that_may_only_read_reads_files_and_writes_none(files: Files) -> None:
    made = files.call("POST", "/keys", json={"name": "reader", "access": "read"}).json()
    files.upload("/shown", b"shown")
    headers = {"X-API-Key": made["key"]}
    shown = requests.get(f"{files.client.url}/vms/files/files/download?path=/shown", headers=headers, timeout=10)
    assert shown.content == b"shown"
    form: Any = {"data": {"path": "/shown"}, "files": {"file": b"x"}}
    refused = requests.post(f"{files.client.url}/vms/files/files/upload", headers=headers, timeout=10, **form)
    assert refused.status_code == 403

"""Files in guests over HTTP, in both dialects, on a fleet of real processes with the fake driver."""

from __future__ import annotations

import http.client
import secrets
import socket
from urllib.parse import urlsplit

import pytest
import requests

from tests.api.filing import Files
from tests.support.contents import noise
from tests.support.waiting import until

MB = 1 << 20
BOTH = pytest.mark.parametrize("dialect", ["microvm", "vboxmcp"])


@BOTH
def test_a_file_there_and_back(files: Files, dialect: str) -> None:
    data, path = noise(3 * MB + 7), f"/data/{dialect}/a.bin"
    answer = files.upload(path, data, dialect, permissions="0640")
    assert answer.status_code == 200, answer.text
    said = answer.json() if dialect == "microvm" else answer.json()["data"]
    assert said == {
        "message": "File uploaded successfully",
        "vm_name": "files",
        "remote_path": path,
        "size_bytes": len(data),
        "uploaded_at": said["uploaded_at"],
    }
    back = files.download(path, dialect)
    assert (back.status_code, back.content) == (200, data)
    assert back.headers["Content-Length"] == str(len(data))
    assert back.headers["Content-Type"] == "application/octet-stream"
    assert back.headers["Content-Disposition"] == 'attachment; filename="a.bin"'
    listed = files.listed(f"/data/{dialect}/", dialect)
    (entry,) = listed["files"]
    assert entry == {
        "name": "a.bin",
        "path": path,
        "size_bytes": len(data),
        "is_directory": False,
        "permissions": "640",
        "modified_at": entry["modified_at"],
        "type": "file",
    }
    assert listed["directory"] == f"/data/{dialect}"
    assert (listed["total"], listed["truncated"]) == (1, False)


def test_where_it_goes_may_be_said_after_it(files: Files) -> None:
    form = [("file", ("x", b"late")), ("path", (None, "/late/x")), ("permissions", (None, "600"))]
    answer = files.call("POST", "/vms/files/files/upload", files=form)
    assert answer.status_code == 200, answer.text
    assert files.download("/late/x").content == b"late"
    assert files.listed("/late")["files"][0]["permissions"] == "600"


@pytest.mark.parametrize(
    ("name", "kind", "disposition"),
    [
        ("a b.txt", "text/plain", 'filename="a b.txt"'),
        ("page.html", "text/html", 'filename="page.html"'),
        ("a.tar.gz", "application/octet-stream", 'filename="a.tar.gz"'),
        (
            'ünï\n"q".json',
            "application/json",
            "filename=\"uni__q_.json\"; filename*=UTF-8''%C3%BCn%C3%AF%0A%22q%22.json",
        ),
    ],
)
def test_type_and_name_of_a_download(files: Files, name: str, kind: str, disposition: str) -> None:
    assert files.upload(f"/names/{name}", b"{}").status_code == 200
    back = files.download(f"/names/{name}")
    assert (back.status_code, back.content) == (200, b"{}")
    assert back.headers["Content-Type"] == kind
    assert back.headers["Content-Disposition"] == f"attachment; {disposition}"
    assert f"/names/{name}" in files.paths("/names")


def test_a_part_of_a_file_and_none_of_it(files: Files) -> None:
    data = noise(600_000)
    files.upload("/part", data)
    for asked, said, expected in (
        ("bytes=0-0", "bytes 0-0/600000", data[:1]),
        ("bytes=300000-", "bytes 300000-599999/600000", data[300_000:]),
        ("bytes=-5", "bytes 599995-599999/600000", data[-5:]),
        ("bytes=-9999999", "bytes 0-599999/600000", data),
        ("bytes=10-9999999", "bytes 10-599999/600000", data[10:]),
    ):
        part = files.download("/part", headers={"Range": asked})
        assert (part.status_code, part.headers["Content-Range"]) == (206, said)
        assert part.content == expected
    beyond = files.download("/part", headers={"Range": "bytes=600000-"})
    assert (beyond.status_code, beyond.headers["Content-Range"]) == (416, "bytes */600000")
    for ignored in ("lines=1-2", "bytes=1-2,5-6", "bytes=x", "bytes=9-1"):
        assert files.download("/part", headers={"Range": ignored}).content == data
    head = files.call("HEAD", "/vms/files/files/download", params={"path": "/part"})
    assert (head.status_code, head.headers["Content-Length"], head.content) == (200, "600000", b"")
    assert files.upload("/empty", b"").status_code == 200
    assert files.download("/empty").content == b""


@BOTH
def test_what_is_not_there_or_is_no_file(files: Files, dialect: str) -> None:
    files.upload("/kinds/file", b"x")
    conflict = (409, "conflict" if dialect == "microvm" else "invalid_state")

    def problem_of(answer: requests.Response) -> tuple[int, str]:
        body = answer.json()
        return answer.status_code, body["error"] if dialect == "microvm" else body["error"]["code"]

    assert problem_of(files.download("/no/such", dialect)) == (404, "not_found")
    assert problem_of(files.download("/kinds", dialect)) == conflict
    assert problem_of(files.upload("/kinds", b"x", dialect)) == conflict
    assert problem_of(files.upload("/kinds/file/below", b"x", dialect)) == conflict
    folder = files.call("GET", "/vms/files/files", dialect, params={"path": "/no/such"})
    assert problem_of(folder) == (404, "not_found")
    assert problem_of(files.call("GET", "/vms/files/files", dialect, params={"path": "/kinds/file"})) == conflict


def test_a_tree_is_listed_in_pages_or_whole(files: Files) -> None:
    for number in range(5):
        files.upload(f"/tree/{number}/leaf", b"x")
    assert [entry["is_directory"] for entry in files.listed("/tree")["files"]] == [True] * 5
    whole = files.listed("/tree", recursive="true")
    assert len(whole["files"]) == whole["total"] == 10
    page = files.listed("/tree", recursive="true", limit=3, offset=2)
    assert (page["files"], page["total"]) == (whole["files"][2:5], 10)


def test_the_same_upload_again_is_done_once_without_being_kept(files: Files) -> None:
    headers = {"Idempotency-Key": secrets.token_hex(8)}
    first = files.upload("/once", b"one", headers=headers)
    files.upload("/once", b"between")
    second = files.upload("/once", b"one", headers=headers)
    assert (first.status_code, second.status_code) == (200, 200)
    assert second.json() == first.json()
    assert second.headers["Idempotency-Replayed"] == "true"
    assert files.download("/once").content == b"between"
    other = files.upload("/once", b"two", headers=headers)
    assert (other.status_code, other.json()["error"]) == (409, "conflict")
    assert files.download("/once").content == b"between"
    failed = {"Idempotency-Key": secrets.token_hex(8)}
    assert files.upload("/once/below", b"x", headers=failed).status_code == 409
    assert files.upload("/once/below", b"x", headers=failed).status_code == 409


def test_a_client_that_hangs_up_leaves_the_old_file_and_nothing_else(files: Files) -> None:
    files.upload("/hung/up", b"old")
    _send_half(files, "/hung/up", 2 * MB)
    until(lambda: not _drafts(files))
    assert files.download("/hung/up").content == b"old"
    assert files.paths("/hung") == ["/hung/up"]


def test_an_agent_that_is_killed_cuts_transfers_off(files: Files) -> None:
    files.upload("/killed/file", b"old")
    files.upload("/killed/large", bytes(48 * MB))
    connection = _begin_upload(files, "/killed/file", 64 * MB)
    connection.send(bytes(8 * MB))
    reading = files.download("/killed/large", stream=True)
    (host,) = {name for name in files.fleet.plan.host_names if _drafts(files, name)}
    files.fleet.kill(host)
    with pytest.raises(OSError):  # noqa: PT011  # the connection is cut, in one of many ways
        for _ in reading.iter_content(MB):
            pass
    try:
        connection.send(bytes(56 * MB))
        answer = connection.getresponse()
        assert answer.status == 503
    except OSError:
        pass  # it was told before it had sent all
    until(lambda: files.download("/killed/file").content == b"old")
    connection.close()


def test_200_mb_pass_through_and_are_held_nowhere(files: Files) -> None:
    block = noise(MB)
    files.upload("/warm", block)
    host = next(name for name in files.fleet.plan.host_names if _holds(files, name))
    before = {name: files.memory(name) for name in ("api", host)}
    connection = _begin_upload(files, "/large", 200 * MB)
    peak = dict.fromkeys(before, 0)
    for number in range(200):
        connection.send(block)
        if number % 20 == 0:
            peak = {name: max(peak[name], files.memory(name)) for name in peak}
    connection.send(b"\r\n--corral--\r\n")
    assert connection.getresponse().status == 200
    read = 0
    for piece in files.download("/large", stream=True).iter_content(MB):
        read += len(piece)
        if read % (20 * MB) == 0:
            peak = {name: max(peak[name], files.memory(name)) for name in peak}
    assert read == 200 * MB
    for name, most in peak.items():
        assert most - before[name] < 64 * MB, name
    connection.close()


def _begin_upload(files: Files, path: str, size: int) -> http.client.HTTPConnection:
    """The head of a body, up to the first byte of a file of that size."""
    head = (
        f'--corral\r\nContent-Disposition: form-data; name="path"\r\n\r\n{path}\r\n'
        '--corral\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
    ).encode()
    connection = http.client.HTTPConnection(urlsplit(files.client.url).netloc, timeout=60)
    connection.putrequest("POST", "/api/v1/vms/files/files/upload")
    for name, value in files.client.bearer.items():
        connection.putheader(name, value)
    connection.putheader("Content-Type", "multipart/form-data; boundary=corral")
    connection.putheader("Content-Length", str(len(head) + size + len(b"\r\n--corral--\r\n")))
    connection.endheaders(head)
    return connection


def _send_half(files: Files, path: str, size: int) -> None:
    connection = _begin_upload(files, path, size)
    connection.send(bytes(size // 2))
    until(lambda: _drafts(files))
    connection.sock.shutdown(socket.SHUT_RDWR)
    connection.close()


def _drafts(files: Files, host: str = "*") -> list[str]:
    """What is half written in any guest of that host."""
    return [str(path) for path in (files.fleet.home / "hosts").glob(f"{host}/vms/*/drafts/*")]


def _holds(files: Files, host: str) -> bool:
    return any((files.fleet.home / "hosts").glob(f"{host}/vms/*/guest/warm"))

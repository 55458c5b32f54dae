"""`corral hypervisor install`, against a server of this machine's."""

from __future__ import annotations

import dataclasses
import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli.hypervisor import releases
from cli.main import main

PROGRAM = b"\x7fELF a program" * 100_000
SUM = hashlib.sha256(PROGRAM).hexdigest()
NAME = "cloud-hypervisor"


class Files(BaseHTTPRequestHandler):
    """Has the program by its release's names. `asked`: each request's range; `cut`: so many bytes, then no more."""

    def __init__(self, asked: list[str], cut: list[int], *args: object) -> None:
        self.asked, self.cut = asked, cut
        super().__init__(*args)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        """Ranges too."""
        wanted = self.headers.get("Range", "")
        self.asked.append(f"{self.path} {wanted}".strip())
        first = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        if first >= len(PROGRAM):
            self.send_error(416)
            return
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(PROGRAM) - first))
        self.end_headers()
        self.wfile.write(PROGRAM[first : first + self.cut.pop()] if self.cut else PROGRAM[first:])

    def log_message(self, *_: object) -> None:
        """Silent."""


class Server:
    """The server: its address, what it was asked for, and what it is to cut off."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.cut: list[int] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Files, self.asked, self.cut))
        self.url = f"http://127.0.0.1:{self._server.server_port}/v53"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        """No more."""
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    """One for each test."""
    made = Server()
    yield made
    made.close()


@pytest.fixture
def to(tmp_path: Path) -> Path:
    """Where it goes."""
    return tmp_path / "bin" / NAME


@pytest.fixture(autouse=True)
def _folder(to: Path) -> None:
    to.parent.mkdir()


def install(*arguments: str | Path) -> Result:
    """The command."""
    return CliRunner().invoke(main, ["hypervisor", "install", NAME, *map(str, arguments)])


def test_it_is_fetched_verified_and_put_in_place(server: Server, to: Path) -> None:
    done = install("--to", to, "--mirror", server.url, "--sha256", SUM.upper(), "--machine", "x86_64")
    assert done.exit_code == 0, done.output
    assert to.read_bytes() == PROGRAM
    assert to.stat().st_mode & 0o777 == 0o755
    assert server.asked == ["/v53/cloud-hypervisor-static"]
    assert [path.name for path in to.parent.iterdir()] == [NAME]


def test_each_machine_has_its_own_file(server: Server, to: Path) -> None:
    install("--to", to, "--mirror", server.url, "--sha256", SUM, "--machine", "aarch64")
    assert server.asked == ["/v53/cloud-hypervisor-static-aarch64"]
    refused = install("--to", to, "--mirror", server.url, "--sha256", SUM, "--machine", "riscv64")
    assert refused.exit_code == 1
    assert "x86_64, aarch64" in refused.output


def test_nothing_is_installed_unverified(server: Server, to: Path) -> None:
    refused = install("--to", to, "--mirror", server.url, "--machine", "x86_64")
    assert refused.exit_code == 1
    assert "--sha256" in refused.output
    assert (server.asked, list(to.parent.iterdir())) == ([], [])


def test_a_sum_that_is_known_here_need_not_be_given(server: Server, to: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release = releases.RELEASES[NAME]
    known = dataclasses.replace(release, files={"x86_64": releases.ReleaseFile("cloud-hypervisor-static", SUM)})
    monkeypatch.setitem(releases.RELEASES, NAME, known)
    assert install("--to", to, "--mirror", server.url, "--machine", "x86_64").exit_code == 0
    assert to.read_bytes() == PROGRAM


def test_another_sum_is_refused_and_what_was_there_stays(server: Server, to: Path) -> None:
    to.write_bytes(b"the one before")
    refused = install("--to", to, "--mirror", server.url, "--sha256", "0" * 64, "--machine", "x86_64")
    assert refused.exit_code == 1
    assert SUM in refused.output
    assert to.read_bytes() == b"the one before"
    assert [path.name for path in to.parent.iterdir()] == [NAME]


def test_a_download_that_was_cut_off_is_gone_on_with(server: Server, to: Path) -> None:
    server.cut.append(500_000)
    broken = install("--to", to, "--mirror", server.url, "--sha256", SUM, "--machine", "x86_64")
    assert broken.exit_code == 1
    assert not to.exists()
    assert install("--to", to, "--mirror", server.url, "--sha256", SUM, "--machine", "x86_64").exit_code == 0
    first = int(server.asked[1].removeprefix("/v53/cloud-hypervisor-static bytes=").removesuffix("-"))
    assert 400_000 < first <= 500_000
    assert to.read_bytes() == PROGRAM


def test_a_file_serves_a_machine_without_the_internet(to: Path, tmp_path: Path) -> None:
    fetched = tmp_path / "fetched"
    fetched.write_bytes(PROGRAM)
    refused = install("--to", to, "--from", fetched, "--sha256", "1" * 64, "--machine", "x86_64")
    assert (refused.exit_code, to.exists()) == (1, False)
    assert install("--to", to, "--from", fetched, "--sha256", SUM, "--machine", "x86_64").exit_code == 0
    assert to.read_bytes() == PROGRAM
    assert fetched.exists()

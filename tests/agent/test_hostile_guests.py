"""Guests that answer anything: each question to them ends in time, as their own fault, and costs no memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest

from agent.drivers.capabilities.guest import GuestExecRequest
from agent.drivers.local import sizes, written
from agent.drivers.local.folder import LocalVmRecord
from agent.guest import commands, disks, files, filescript, interfaces, killing, measuring, patience, qga, reading
from core.contract.calls import FileListReply
from core.contract.errors import DriverFailure
from core.contract.images import ImageFile, ImageManifest
from core.contract.messages import VmSpec, build
from tests.support.vsock_agent import VsockAgent

LONG = 20.0
SPEC = VmSpec("vm-1", "web", "qemu", "linux", 1, 256, 4)
STATE = LocalVmRecord(SPEC, ImageManifest("x", "linux", "raw", ImageFile("disk", "", 1), 1, guest_agent=True), "disk")
TOO_LARGE = b"9" * 5000
DEEP = b"[" * 100_000
LINES = {
    "nested": b'{"return": ' + DEEP,
    "an error that is nested": b'{"error": ' + DEEP,
    "half": b'{"return": {"pid": 1',
    "words": b"hello",
    "bytes": b"\x80\xfe\x00",
    "null": b"null",
    "a number": b'{"return": 7e999}',
    "a long number": b'{"return": {"pid": ' + TOO_LARGE + b', "exited": true, "exitcode": ' + TOO_LARGE + b"}}",
    "no number": b'{"return": {"pid": NaN, "exited": true, "exitcode": NaN}}',
    "text": b'{"return": "x"}',
    "a list": b'{"return": [null]}',
    "a list of texts": b'{"return": ["x"]}',
    "wrong parts": b'{"return": [{"online": 7, "name": [], "address": 7, "mountpoint": {}, "user": "x"}]}',
    "half a character": b'{"error": {"class": "GenericError", "desc": "\\ud800"}}',
    "an error that is none": b'{"error": 7}',
}


def blamed(ask: Callable[[Path], Any], at: Path) -> str:
    """The code of what was raised. Some questions are then answered by what is known without the guest."""
    try:
        ask(at)
    except DriverFailure as error:
        return error.code
    return qga.AgentRefused.code


def a_megabyte_a_second() -> Iterator[bytes]:
    """Without end."""
    pause = threading.Event()
    while not pause.wait(0.01):
        yield b"x" * 10_000 + b"\xff\n"


def chunks(at: Path) -> None:
    with files.read(at, "/proc/x") as reading:
        for _ in reading.chunks(0, None):
            pass


QUESTIONS: dict[str, Callable[[Path], Any]] = {
    "execute": lambda at: commands.execute(at, GuestExecRequest("true", LONG)),
    "a script": lambda at: killing.run(at, "true", 1e9),
    "interfaces": lambda at: interfaces.of_guest(at, LONG),
    "a disk": lambda at: disks.has(at, disks.by_serial("x"), LONG, lambda: None),
    "a file": lambda at: reading.part(at, "/x", 0, 10),
    "a small file": lambda at: reading.small(at, "/x"),
    "a download": chunks,
    "vCPUs": lambda at: sizes.bring_online(at, STATE, 2, lambda: LONG),
    "memory": lambda at: sizes.bring_memory_online(at, STATE, lambda: LONG),
    "metrics": lambda at: measuring.measure(at, "", 0.0, 1e9),
}


@pytest.fixture
def guest(tmp_path: Path) -> Iterator[VsockAgent]:
    """Its agent says what a test has it say."""
    made = VsockAgent(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
@pytest.mark.parametrize("ask", QUESTIONS.values(), ids=QUESTIONS)
def test_an_answer_that_is_none_is_the_guest_s_fault(
    guest: VsockAgent, tmp_path: Path, ask: Callable[[Path], Any], line: bytes
) -> None:
    guest.says = [line + b"\n"]
    assert blamed(ask, tmp_path) == "guest_refused"


@pytest.mark.parametrize("line", [*LINES.values(), b'{"error": {"class": "CommandNotFound"}}'])
def test_an_agent_that_answers_anything_is_there(guest: VsockAgent, tmp_path: Path, line: bytes) -> None:
    """Its VM has started: to switch it off again would help nobody."""
    guest.says = [line + b"\n"]
    qga.wait(tmp_path, LONG, lambda: None)
    assert "guest-ping" in guest.asked


def test_an_answer_has_no_more_than_was_asked_for(guest: VsockAgent, tmp_path: Path) -> None:
    guest.answers = {
        "guest-file-open": {"return": 1},
        "guest-file-seek": {"return": {"position": 5, "eof": False}},
        "guest-file-read": {"return": {"count": 3, "buf-b64": "eHh4" * 100_000, "eof": False}},
    }
    assert reading.part(tmp_path, "/x", 0, 10) == reading.GuestFilePart(b"x" * 10, 5)
    assert reading.small(tmp_path, "/x", 10) == b"x" * 10
    guest.says = [b'{"return": [', *repeat(b'{"name": "eth0"},' * 10_000, 100), b"]}\n"]
    with pytest.raises(qga.AgentRefused, match="too long"):
        interfaces.of_guest(tmp_path, LONG)


def test_a_read_that_gives_nothing_is_not_repeated_for_ever(guest: VsockAgent, tmp_path: Path) -> None:
    nothing = {"return": {"count": 0, "buf-b64": "", "eof": False}}
    ended = {"return": {"pid": 1, "exited": True, "exitcode": 0, "out-data": "MCAwIDA="}}
    guest.answers = {"guest-file-open": {"return": 1}, "guest-file-read": nothing}
    guest.answers |= {"guest-exec": ended, "guest-exec-status": ended}
    with pytest.raises(DriverFailure, match="neither data nor the end of the file"):
        chunks(tmp_path)


def test_lines_without_end_are_read_as_fast_as_they_come(guest: VsockAgent, tmp_path: Path) -> None:
    guest.says = [*repeat(b"\xff\n" * 100_000, 10), b'{"return": []}\n']
    assert interfaces.of_guest(tmp_path, LONG) == []


@pytest.mark.parametrize("ask", [qga.ask, qga.tell], ids=["ask", "tell"])
def test_bytes_without_end_buy_no_time_beyond_all_patience(
    guest: VsockAgent, tmp_path: Path, ask: Callable[..., Any]
) -> None:
    guest.says = a_megabyte_a_second()
    with patience.ends_in(0.3), pytest.raises(qga.AgentSilent):
        ask(tmp_path, "guest-exec-status", 0.3)


def test_bytes_buy_no_time_where_none_are_asked_for(guest: VsockAgent, tmp_path: Path) -> None:
    guest.says = a_megabyte_a_second()
    with pytest.raises(qga.AgentSilent):
        qga.ask(tmp_path, "guest-exec", 0.3)


def test_files_of_any_year_and_size_are_listed() -> None:
    numbers = {
        "now": b"81a4 5 1700000000",
        "in the year 3170843": b"81a4 5 99999999999999",
        "before all years": b"81a4 5 -99999999999999",
        "too large": b"81a4 9999999999999999999 0",
    }
    out = b"".join(b"t " + told + b" /" + name.encode() + b"\n" for name, told in numbers.items())
    out += b"t 81a4 " + TOO_LARGE + b" 0 /made up\n"
    found = filescript.listed(out, 100, "t", truncated=False)
    assert (
        len(build(FileListReply, {"entries": [vars(each) for each in found.entries], "truncated": False}).entries) == 4
    )
    assert filescript.looked("5 8 99999999999999")[1] == 253_402_300_799
    assert filescript.looked(f"{2**70} 8 0")[0] == 2**63 - 1


def test_what_a_guest_has_written_gives_its_room_back(tmp_path: Path) -> None:
    file = tmp_path / "events.out"
    with file.open("wb", buffering=0) as hypervisor:
        hypervisor.write(b"old\n" * (written.MOST_BYTES // 4) + b"new\n")
        written.bound(file)
        hypervisor.write(b"newest\n")
    size, room = file.stat().st_size, file.stat().st_blocks * 512
    assert (size, room < 2 * written.KEPT_BYTES) == (written.MOST_BYTES + 11, True)
    assert written.end_of(file, 15) == b"old\nnew\nnewest\n"
    written.bound(tmp_path / "not there")
    big, link, twin = (tmp_path / name for name in ("big", "link", "twin"))
    big.write_bytes(b"x" * 2 * written.MOST_BYTES)
    link.symlink_to(big)
    twin.hardlink_to(big)
    for other in (link, twin):
        written.bound(other)
    assert big.stat().st_blocks * 512 >= 2 * written.MOST_BYTES
    assert written.end_of(tmp_path / "not there", 5) == b""

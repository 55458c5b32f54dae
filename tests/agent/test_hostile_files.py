"""Files that a guest wrote, read by its agent and believed by nobody: no lie is kept, or leaves the host."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from agent.drivers.capabilities.execs import GuestExec
from agent.drivers.capabilities.files import FileTarget
from agent.guest import execs, files, filescript, measuring
from agent.guest.exec_store import ExecStore, StoredExec
from core.contract import calls, measures
from core.contract.bounds import MOST_LISTED
from core.contract.messages import build
from tests.support.vsock_agent import VsockAgent

BEGAN = 1_700_000_000.0
MUCH = b"9" * 4000
HUGE = 2**40  # as a file's size: over what is kept of an output
MEMINFO = b"MemTotal: 1000 kB\nMemFree: 0 kB\nMemAvailable: 250 kB\n"


@pytest.fixture
def guest(tmp_path: Path) -> Iterator[VsockAgent]:
    """Its agent says what a test has it say."""
    made = VsockAgent(tmp_path)
    yield made
    made.close()


def holds(guest: VsockAgent, text: bytes) -> None:
    """Whatever file is asked for, the guest has that in it."""
    guest.answers |= {
        "guest-file-open": {"return": 1},
        "guest-file-seek": {"return": {"position": HUGE, "eof": False}},
        "guest-file-read": {"return": {"count": len(text), "buf-b64": base64.b64encode(text).decode(), "eof": True}},
    }


def begun(folder: Path, state: str = "running") -> StoredExec:
    """An execution that this host knows."""
    entry = StoredExec(GuestExec("e1", "true", BEGAN, state=state), 1, "token")
    ExecStore(folder).add(entry)
    return entry


@pytest.mark.parametrize(
    ("told", "code"),
    [
        (b"3 1.5 2.5\n", 3),
        (b"0 0 1e300\n", 0),
        (b"0 0 -1e300\n", 0),
        (b"0 nan inf\n", 0),
        (b"7 x y\n", 7),
        (b"0 " + MUCH + b" 0\n", 0),
        (MUCH + b" 0 1\n", None),
        (b"4294967296 0 1\n", None),
        (b"-1 0 1\n", None),
        (b"\xff\xfe\x00 []\n", None),
        (b"\n", None),
    ],
)
def test_an_end_that_was_made_up_is_an_end(guest: VsockAgent, tmp_path: Path, told: bytes, code: int | None) -> None:
    holds(guest, told)
    ended = execs.look(tmp_path, begun(tmp_path)).exec
    assert (ended.state, ended.exit_code) == ("exited", code)
    assert (ended.ended_at or 0.0) >= BEGAN
    kept = build(calls.ExecListReply, {"execs": [asdict(each.exec) for each in ExecStore(tmp_path).all()], "total": 1})
    assert kept.execs[0].exit_code == code


@pytest.mark.parametrize("from_", [b"5", b"-5", b"9" * 30, MUCH])
def test_the_kept_part_of_an_output_begins_within_it(guest: VsockAgent, tmp_path: Path, from_: bytes) -> None:
    holds(guest, from_)
    found = execs.output(tmp_path, begun(tmp_path, "exited"), "stdout", 0, 10)
    assert 0 <= found.offset <= HUGE


@pytest.mark.parametrize(
    ("meminfo", "told"),
    [
        (MEMINFO, {"total_mb": 0, "used_mb": 0, "available_mb": 0, "usage_percent": 75.0}),
        (MEMINFO.replace(b"1000", b"0"), None),
        (MEMINFO.replace(b"1000", MUCH), None),
        (MEMINFO.replace(b"1000", b"-7"), None),
        (MEMINFO.replace(b"250", b"-250"), None),
        (MEMINFO.replace(b"250", b"2500"), None),
        (MEMINFO.replace(b"1000", str(2**80).encode()), None),
    ],
)
def test_a_memory_that_can_not_be_is_not_told(
    guest: VsockAgent, tmp_path: Path, meminfo: bytes, told: dict[str, float] | None
) -> None:
    holds(guest, meminfo)
    guest.answers |= {"guest-get-cpustats": {"return": []}}
    found = measuring.measure(tmp_path, "", 0.0, 1e9)
    assert found.guest is not None
    assert found.guest["memory"] == told
    assert ("guest.memory" in found.unknown) == (told is None)
    build(measures.GuestMetrics, found.guest)


def test_traffic_and_lists_beyond_all_bounds_are_not_told(guest: VsockAgent, tmp_path: Path) -> None:
    counted = {"rx-bytes": 2**63 - 1, "tx-bytes": 1, "rx-packets": 1, "tx-packets": 1}
    one = {"name": "eth0", "hardware-address": "52:54:00:00:00:01", "statistics": counted}
    disk = {"mountpoint": "/", "type": "ext4"}
    holds(guest, MEMINFO)
    for traffic, disks in ((1, MOST_LISTED), (2, MOST_LISTED + 1), (MOST_LISTED + 1, 0)):
        guest.answers |= {
            "guest-get-cpustats": {"return": []},
            "guest-network-get-interfaces": {"return": [one] * traffic},
            "guest-get-fsinfo": {"return": [disk] * disks},
        }
        found = measuring.measure(tmp_path, "", 0.0, 1e9)
        assert found.guest is not None
        assert (found.network is None) == (traffic > 1)
        assert (found.guest["file_systems"] is None) == (disks > MOST_LISTED)


@pytest.mark.parametrize("place", [b"root", b"--passwordfile=/etc/shadow", b"/root\0/x", b"/" + b"x" * 5000])
def test_a_folder_that_is_none_goes_no_further(guest: VsockAgent, tmp_path: Path, place: bytes) -> None:
    ended = {"exited": True, "exitcode": 0, "out-data": base64.b64encode(place).decode()}
    guest.answers |= {"guest-exec": {"return": {"pid": 1}}, "guest-exec-status": {"return": ended}}
    with pytest.raises(filescript.FileScriptError, match="can't be understood"):
        files.write(tmp_path, "/root/x", iter([b"x"]), lambda: FileTarget("/root/x", None))
    assert "guest-file-open" not in guest.asked

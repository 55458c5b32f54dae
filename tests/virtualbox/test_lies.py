"""Guests that lie through Guest Additions: what they say is bounded, and what can't be is their fault."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.drivers.capabilities.files import FileTarget
from agent.drivers.capabilities.guest import GuestExecRequest
from agent.drivers.limits import countdown
from agent.drivers.virtualbox import credentials, files, guest, inside
from agent.drivers.virtualbox.credentials import GuestCredentials
from agent.drivers.virtualbox.files import VirtualBoxGuest
from agent.drivers.virtualbox.folder import VirtualBoxVmFolder, VirtualBoxVmRecord
from agent.drivers.virtualbox.vboxmanage import VBoxManage
from agent.guest import filescript
from agent.guest.answers import AgentRefused
from agent.system.vault import Vault
from core.contract import measures
from core.contract.bounds import MOST_LISTED
from core.contract.messages import VmSpec, build

LONG = 60.0
MUCH = "9" * 3000
STAT = "cpu 1 2 3 4 5 6 7 8\ncpu 2 2 3 5 5 6 7 8\n"
MEMINFO = "MemTotal: 4096 kB\nMemAvailable: 1024 kB\n"
DISKS = "Filesystem\n/dev/sda1 ext4 10 5 5 50% /\n"
# All of a guest's users know the word that is written before an exit code: it is in their commands' environment.
OWN_END = "printf '\\n%s {}\\n' $CORRAL_EXEC >&2; exit 7"


@pytest.fixture
def at(tmp_path: Path, in_guest: str) -> VirtualBoxGuest:
    """This machine, in a guest's place."""
    folder, vault = VirtualBoxVmFolder(tmp_path / "vm-1"), Vault(tmp_path)
    folder.path.mkdir()
    folder.write(VirtualBoxVmRecord(VmSpec("vm-1", "web", "virtualbox", "linux", 1, 64, 1), None))
    credentials.keep(vault, folder, GuestCredentials("root", "secret"))
    return VirtualBoxGuest(VBoxManage(in_guest), vault, folder, "web")


def tells(at: VirtualBoxGuest, monkeypatch: pytest.MonkeyPatch, *texts: str) -> measures.GuestMetrics:
    """What comes of a guest whose kernel says that, as it goes over the wire."""
    parts = "; echo; ".join(f"printf %s '{text}'" for text in texts)
    monkeypatch.setattr(inside, "SCRIPT", parts)
    return build(measures.GuestMetrics, inside.ask(at.manage, at.vault, at.folder, countdown(LONG)))


def test_figures_that_can_be_are_told(at: VirtualBoxGuest, monkeypatch: pytest.MonkeyPatch) -> None:
    told = tells(at, monkeypatch, STAT, MEMINFO, DISKS)
    assert told.cpu == measures.GuestCpu(50.0)
    assert told.memory == measures.GuestMemory(4, 3, 1, 75.0)
    assert told.file_systems == [measures.FileSystem("/", "ext4", 10240, 5120)]


@pytest.mark.parametrize(
    "lie",
    [
        (STAT, MEMINFO.replace("4096", "0"), DISKS),
        (STAT, MEMINFO.replace("4096", MUCH), DISKS),
        (STAT, MEMINFO.replace("1024", "5000"), DISKS),
        (STAT, MEMINFO.replace("1024", "-1024"), DISKS),
        (STAT.replace("2 2 3 5", f"{MUCH} 2 3 {MUCH[1:]}"), MEMINFO, DISKS.replace("10", MUCH)),
        (STAT, MEMINFO, DISKS.replace(" 5 5", f" {MUCH} 5")),
        (STAT, MEMINFO, DISKS.replace("ext4", "e" * 300)),
        (STAT, MEMINFO, DISKS + "/dev/a e 1 1 1 1 /\n" * MOST_LISTED),
        ("", "", ""),
    ],
)
def test_figures_that_can_not_be_are_the_guests_fault(
    at: VirtualBoxGuest, monkeypatch: pytest.MonkeyPatch, lie: tuple[str, str, str]
) -> None:
    with pytest.raises(AgentRefused, match="can't be understood"):
        tells(at, monkeypatch, *lie)


@pytest.mark.parametrize("code", ["-1", "1000", "9" * 30, "9" * 5000])
def test_an_exit_code_that_none_has_is_taken_for_output(at: VirtualBoxGuest, code: str) -> None:
    done = guest.execute(at.manage, at.vault, at.folder, GuestExecRequest(OWN_END.format(code), LONG))
    assert (done.exit_code, code.encode() in done.stderr) == (7, True)


def test_output_without_end_takes_no_more_than_is_told(at: VirtualBoxGuest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guest, "OUTPUT_LIMIT", 1000)
    heard = []
    ended = VBoxManage.ended

    def listened(*args: object, **more: object) -> object:
        heard.append(ended(*args, **more))  # type: ignore[arg-type]
        return heard[-1]

    monkeypatch.setattr(VBoxManage, "ended", listened)
    loud = "head -c 5000000 /dev/zero; head -c 5000000 /dev/zero >&2; exit 3"
    done = guest.execute(at.manage, at.vault, at.folder, GuestExecRequest(loud, LONG))
    assert (done.exit_code, done.truncated, len(done.stdout), len(done.stderr)) == (3, True, 1000, 1000)
    assert max(len(heard[0].stdout), len(heard[0].stderr)) < 10_000


@pytest.mark.parametrize("place", ["root", "--passwordfile=/etc/shadow", "/root\\000/x"])
def test_a_folder_that_is_none_is_no_argument_of_ours(
    at: VirtualBoxGuest, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setattr(filescript, "beginning", lambda *_: f"printf '%b' '{place}'")
    at.manage.calls.clear()
    with pytest.raises(filescript.FileScriptError, match="can't be understood"):
        files.write(at, "/root/x", iter([b"x"]), lambda: FileTarget("/root/x", None))
    assert at.manage.calls["guestcontrol"] == 1


def test_a_piece_has_no_more_than_was_asked_for(
    at: VirtualBoxGuest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(filescript, "looking", lambda _: "echo 10 8 0")
    monkeypatch.setattr(filescript, "piece", lambda *_: "head -c 100 /dev/zero")
    with files.read(at, "/x") as reading:
        assert b"".join(reading.chunks(0, 10)) == bytes(10)

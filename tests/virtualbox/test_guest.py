"""Credentials of guests, and what can be said of commands where no guest runs."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from agent.drivers.base import DriverFolders
from agent.drivers.capabilities.guest import GuestExecRequest
from agent.drivers.virtualbox import VirtualBoxDriver, credentials, guest
from agent.drivers.virtualbox.credentials import GuestCredentials
from agent.drivers.virtualbox.folder import VirtualBoxVmFolder, VirtualBoxVmRecord
from agent.drivers.virtualbox.vboxmanage import VBoxManage, VBoxManageError
from agent.system.vault import KEY, Vault
from core.contract.errors import DriverFailure, GuestTimeout, Unsupported
from core.contract.messages import VmSpec

if TYPE_CHECKING:
    from tests.virtualbox.conftest import Make

SECRET = "correct horse battery staple"
REQUEST = GuestExecRequest("true", 5.0)


@pytest.fixture
def folder(tmp_path: Path) -> VirtualBoxVmFolder:
    """A VM's folder, with a record alone."""
    path = tmp_path / "vms" / "vm-1"
    path.mkdir(parents=True)
    made = VirtualBoxVmFolder(path)
    made.write(VirtualBoxVmRecord(VmSpec("vm-1", "web", "virtualbox", "linux", 1, 256, 4), None))
    return made


def test_credentials_are_nowhere_in_plain_but_while_they_are_used(folder: VirtualBoxVmFolder, tmp_path: Path) -> None:
    vault = Vault(tmp_path)
    credentials.keep(vault, folder, GuestCredentials("root", SECRET))
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]
    assert stat.S_IMODE((tmp_path / KEY).stat().st_mode) == 0o600
    with credentials.opened(Vault(tmp_path), folder) as options:
        assert options[:3] == ["--username", "root", "--passwordfile"]
        file = Path(options[3])
        assert (file.read_text(), stat.S_IMODE(file.stat().st_mode)) == (SECRET, 0o600)
    assert not file.exists()


def test_another_hosts_key_opens_nothing(folder: VirtualBoxVmFolder, tmp_path: Path) -> None:
    credentials.keep(Vault(tmp_path), folder, GuestCredentials("root", SECRET))
    (tmp_path / KEY).unlink()
    with pytest.raises(DriverFailure) as failure, credentials.opened(Vault(tmp_path), folder):
        pass
    assert failure.value.code == "secret_unreadable"


@pytest.mark.parametrize("word", ["", "-x", "a\nb", "a\0b", "x" * 257])
def test_what_can_not_be_a_name_or_password_is_refused(folder: VirtualBoxVmFolder, tmp_path: Path, word: str) -> None:
    for account in (GuestCredentials(word, SECRET), GuestCredentials("root", word)):
        with pytest.raises(DriverFailure) as failure:
            credentials.keep(Vault(tmp_path), folder, account)
        assert failure.value.code == "invalid_request"


def test_without_credentials_it_says_how_to_set_them(folder: VirtualBoxVmFolder, tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="guest-credentials"), credentials.opened(Vault(tmp_path), folder):
        pass


def test_without_guest_additions_it_says_what_to_install() -> None:
    with pytest.raises(Unsupported, match="virtualbox-guest-utils"):
        guest.check({"VMState": "running"}, "web")
    guest.check({"VMState": "running", "GuestAdditionsRunLevel": "2"}, "web")


def test_virtualbox_understands_the_command_line(
    vboxmanage: str, driver: VirtualBoxDriver, place: DriverFolders, make: Make
) -> None:
    """It gets as far as finding that the VM is off, and not to its usage."""
    vm = make()
    driver.set_guest_credentials(vm, "root", SECRET)
    folder = VirtualBoxVmFolder(place.vms / vm.id)
    with pytest.raises(VBoxManageError) as failure:
        guest.execute(VBoxManage(vboxmanage), Vault(place.vms.parent), folder, REQUEST)
    assert "is not running" in failure.value.message
    assert SECRET not in failure.value.message
    with pytest.raises(DriverFailure) as off:
        driver.execute(vm, REQUEST)
    assert off.value.code == "vm_not_running"


def test_a_program_in_virtualboxs_place_shows_how_output_is_taken_apart(
    folder: VirtualBoxVmFolder, tmp_path: Path, in_guest: str
) -> None:
    """It runs on this machine what it is told to run in the guest."""
    vault = Vault(tmp_path)
    credentials.keep(vault, folder, GuestCredentials("root", SECRET))
    request = GuestExecRequest("cat; echo $A; echo err >&2; exit 7", 20.0, "/usr", {"A": "a b"}, bytes(range(256)))
    done = guest.execute(VBoxManage(in_guest), vault, folder, request)
    assert (done.exit_code, done.stdout, done.stderr) == (7, bytes(range(256)) + b"a b\n", b"err\n")
    with pytest.raises(DriverFailure, match="no folder"):
        guest.execute(VBoxManage(in_guest), vault, folder, GuestExecRequest("true", 20.0, "/no/such"))
    with pytest.raises(DriverFailure, match="longer"):
        guest.execute(VBoxManage(in_guest), vault, folder, GuestExecRequest("x" * 40_000, 20.0))


def test_past_its_timeout_a_command_is_killed_with_its_children(
    folder: VirtualBoxVmFolder, tmp_path: Path, in_guest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guest, "BEYOND_SECONDS", 0.5)
    vault = Vault(tmp_path)
    credentials.keep(vault, folder, GuestCredentials("root", SECRET))
    with pytest.raises(GuestTimeout, match="was killed"):
        guest.execute(VBoxManage(in_guest), vault, folder, GuestExecRequest("setsid sleep 4055 & sleep 4055", 1.0))
    assert not [
        each for each in psutil.process_iter(["cmdline"]) if "sleep 4055" in " ".join(each.info["cmdline"] or [])
    ]

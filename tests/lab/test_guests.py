"""What real VirtualBox does with a guest that runs: LabVm Additions, and hardware changed while it looks."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import pytest
import requests

from core.contract.errors import CorralError
from tests.lab.conftest import MEMORY_MB, waiting_for
from tools.lab import recipe

if TYPE_CHECKING:
    from tests.lab.conftest import LabVm

pytestmark = pytest.mark.timeout(600)
BOOT_SECONDS = 200.0
PASSWORD, WRONG = "lab-guest", "lab-ghost"
CONTROLLER = "SATA Controller"
X_SERVER = (
    "Xvfb :0 -screen 0 800x600x24 -extension GLX -nolisten tcp > /tmp/Xvfb.log 2>&1 & "
    "until [ -e /tmp/.X11-unix/X0 ]; do sleep 0.2; done"
)


@pytest.fixture(scope="module")
def guest(guests: dict[str, LabVm]) -> LabVm:
    """VirtualBox's, once it has booted."""
    made = guests[recipe.VBOX.name]
    made.becomes("running", BOOT_SECONDS)
    with made.step(f"the boot of {made.name}'s guest"), made.console() as console:
        console.read_until(lambda seen: b"lab-guest: up after" in seen, BOOT_SECONDS)
    return made


@pytest.fixture
def known(guest: LabVm) -> LabVm:
    """The guest, once its host knows the account."""
    _tell(guest, PASSWORD)
    return guest


def _tell(guest: LabVm, password: str) -> None:
    body = {"username": "root", "password": password}
    guest.client.request("PUT", f"/vms/{guest.name}/guest-credentials", body)


def test_without_an_account_the_refusal_says_how_to_give_one(guest: LabVm) -> None:
    with pytest.raises(CorralError, match="guest-credentials"):
        guest.run("true")


def test_a_wrong_password_is_told(guest: LabVm) -> None:
    _tell(guest, WRONG)
    with pytest.raises(CorralError, match=r"409.*guest-credentials") as refused:
        guest.run("true")
    assert WRONG not in str(refused.value)


def test_a_command_has_its_two_outputs_and_its_exit_code(known: LabVm) -> None:
    done = known.run("echo out; echo err >&2; exit 3")
    assert (done["stdout"], done["stderr"], done["exit_code"]) == ("out\n", "err\n", 3)


def test_past_its_timeout_nothing_of_it_is_left(known: LabVm) -> None:
    with pytest.raises(CorralError, match="504"):
        known.run("setsid sleep 4041 & sleep 4042", seconds=10)
    assert known.execute("ps | grep -c 's[l]eep 404'; true") == "0"


def test_files_go_in_and_come_out(known: LabVm) -> None:
    place = f"{known.client.url}/api/v1/vms/{known.name}/files"
    data, path = secrets.token_bytes(200_000), "/root/deep/er/file"
    caller = known.client.authorization
    with known.step("upload of 200 kB"):
        form: dict[str, Any] = {"data": {"path": path}, "files": {"file": ("f", data)}}
        answer = requests.post(f"{place}/upload", headers=caller, timeout=100, **form)
    assert answer.status_code == 200, answer.text
    with known.step("download of 200 kB"):
        back = requests.get(f"{place}/download", headers=caller, timeout=100, params={"path": path})
    assert back.content == data
    listed = known.client.request("GET", f"/vms/{known.name}/files?path=/root/deep&recursive=true")["files"]
    assert [each["size_bytes"] for each in listed if each["path"] == path] == [len(data)]


def test_the_guest_tells_of_itself(known: LabVm) -> None:
    with known.step("metrics"):
        found = known.client.request("GET", f"/vms/{known.name}/metrics")
    assert found["guest"], found["unknown"]
    assert 50 < found["guest"]["memory"]["total_mb"] <= MEMORY_MB
    assert found["disk"]["io"]["read_bytes"] > 0


def test_a_port_forward_begins_and_ends_while_it_runs(known: LabVm) -> None:
    made = known.client.request("POST", f"/vms/{known.name}/network/port-forward", {"guest_port": 80})
    ask = f"timeout 30 busybox wget -q -T 10 -O - http://127.0.0.1:{made['host_port']}/name"
    assert known.on_host(ask).strip() == "lab-guest"
    known.client.request("DELETE", f"/vms/{known.name}/network/port-forwards/{made['host_port']}")
    assert "lab-guest" not in known.on_host(ask)


def test_a_cable_is_pulled_and_put_back(known: LabVm) -> None:
    at = "/sys/class/net/eth0/carrier"
    assert known.execute(f"cat {at}") == "1"
    for connected, carrier in ((False, "0"), (True, "1")):
        known.change("PUT", "/network-adapters/0", {"cable_connected": connected})
        assert known.execute(f"{waiting_for(f'grep -q {carrier} {at}')}; cat {at}") == carrier


def test_a_disk_comes_and_goes(known: LabVm) -> None:
    before = known.execute("ls /sys/block")
    body = {"controller": CONTROLLER, "port": 1, "medium": "more.vdi", "size_gb": 1, "create_if_missing": True}
    known.change("POST", "/disks", body)
    assert known.execute(f"{waiting_for('[ -e /sys/block/sdb ]')}; ls /sys/block").split() == [before, "sdb"]
    known.change("DELETE", f"/disks/{CONTROLLER}/1/0")
    # Linux asks the port again for some seconds before it believes that nothing is there.
    assert known.execute(f"{waiting_for('[ ! -e /sys/block/sdb ]')}; ls /sys/block") == before


def test_it_is_saved_and_goes_on_with_a_window(guest: LabVm) -> None:
    with guest.console() as console:
        before = console.count()
        guest.change("POST", "/save")
        assert guest.status() == "stopped"
        refused = _start_with_a_window(guest)
        assert (refused["state"], guest.status()) == ("failed", "stopped")
        assert "needs VirtualBox's GUI and a display" in refused["error"]["message"]
        guest.on_host(X_SERVER)
        assert _start_with_a_window(guest)["state"] == "succeeded"
        assert console.count() >= before, "the guest has booted again"
    vm_id = guest.client.request("GET", f"/vms/{guest.name}")["id"]
    assert 'SessionName="GUI/Qt"' in guest.on_host(f"HOME=/root VBoxManage showvminfo {vm_id} --machinereadable")


def _start_with_a_window(guest: LabVm) -> Any:
    """Which vboxmcp alone has, and does not wait for; the operation as it has ended."""
    key = guest.lab.fleet.credentials.api_key
    with guest.step("start with a window"):
        guest.client.request("POST", f"/vms/{guest.name}/start", {"gui": True}, **{"X-API-Key": key})
        (begun,) = guest.client.request("GET", f"/operations?vm={guest.name}&limit=1")["operations"]
        while begun["state"] not in ("succeeded", "failed"):
            begun = guest.client.request("GET", f"/operations/{begun['id']}/wait?timeout=20")
    return begun

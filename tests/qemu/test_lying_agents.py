"""Power and snapshots of a VM whose guest agent lies: each verb does what it is for, and none is kept from it."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING

import pytest

from agent.drivers.capabilities.guest import GuestExecRequest
from agent.drivers.qemu import QemuDriver
from agent.guest import patience
from core.contract.errors import DriverFailure
from core.contract.messages import VmSpec
from core.contract.states import Observed
from tests.qemu.conftest import LONG, silent
from tests.support.waiting import until

if TYPE_CHECKING:
    from tests.qemu.conftest import Run

pytestmark = pytest.mark.timeout(400)
# In the agent's place, which it takes once the command that starts it has ended.
LIAR = r"""
sleep 3; system "systemctl stop qemu-guest-agent"; open P, "+<", "/dev/virtio-ports/org.qemu.guest_agent.0" or die;
sub told { my $text = shift; while (length $text) { $text = substr $text, syswrite P, $text } }
while (1) { if (!sysread P, $some, 4096) { select undef, undef, undef, 0.1; next } $all .= $some;
  while ($all =~ s/^([^\n]*)\n//) { $_ = $1; if (/sync-delimited.*"id": (\d+)/) { MARKER } else { ANSWER } } }
"""
MARKER = r'told "\xff{\"return\": $1}\n"'
REFUSED, SILENT = "guest_refused", "guest_agent_unresponsive"
# What is said to a marker, and to a question; and how a question for the interfaces ends, and a command.
LIES = {
    "all is well": (MARKER, r'told "{\"return\": {\"pid\": 1, \"exited\": false}}\n"', REFUSED, SILENT),
    "nothing is well": (MARKER, r'told "{\"error\": {\"desc\": \"" . "no " x 999 . "\"}}\n"', REFUSED, REFUSED),
    "bytes without end": (r'told "\xff" x 65536 while 1', "1", SILENT, SILENT),
}


def code_of(driver: QemuDriver, vm: VmSpec) -> str:
    """Why nothing is heard of the guest's interfaces, "" if it is."""
    try:
        with patience.ends_in(2.0):
            driver.guest_interfaces(vm, 2.0)
    except DriverFailure as error:
        return error.code
    return ""


@pytest.mark.parametrize("lie", list(LIES))
def test_a_vm_whose_agent_lies_is_paused_saved_restored_and_stopped(
    driver: QemuDriver, running: VmSpec, run: Run, lie: str
) -> None:
    marker, answer, asked, executed = LIES[lie]
    text = LIAR.replace("MARKER", marker).replace("ANSWER", answer)
    run(f"setsid perl -e {quote(text)} </dev/null >/dev/null 2>&1 &")
    until(lambda: code_of(driver, running) == asked, LONG)
    assert driver.pause(running, LONG).state is Observed.PAUSED
    assert driver.resume(running, LONG).state is Observed.RUNNING
    driver.snapshot_create(running, "lies", True, silent, LONG)
    assert driver.snapshot_restore(running, "lies", True, silent, LONG).state is Observed.RUNNING
    until(lambda: code_of(driver, running) == asked, LONG)
    with pytest.raises(DriverFailure) as failure, patience.ends_in(4.0):
        driver.execute(running, GuestExecRequest("true", 2.0))
    assert failure.value.code == executed
    assert driver.stop(running, 2.0, silent, LONG).state is Observed.STOPPED
    driver.snapshot_delete(running, "lies", silent, LONG)

"""The checks in a real guest: what was planted is found, and was not there before."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from agent.drivers.capabilities.guest import GuestExecRequest
from agent.drivers.qemu import QemuDriver
from core.contract.messages import JSON, VmSpec
from tests.qemu.conftest import Run
from workers.scans import evidence
from workers.scans.check import ScanCheck
from workers.scans.families import FAMILIES

_PLANT = """
chmod 666 /etc/shadow; echo 'PermitRootLogin yes' > /etc/ssh/sshd_config.d/00-planted.conf
echo 'evil::0:0::/:/bin/sh' >> /etc/passwd; echo 'evil::19000:0:99999:7:::' >> /etc/shadow
echo 0 > /proc/sys/kernel/randomize_va_space; touch /var/open; chmod 666 /var/open; chown 4242 /var/open
mkdir -m 777 /var/everyones; cp /bin/true /var/true; chmod 4755 /var/true
touch /run/reboot-required
"""
_MEND = """
chmod 640 /etc/shadow; rm -rf /etc/ssh/sshd_config.d/00-planted.conf /run/reboot-required
rm -rf /var/open /var/everyones /var/true
sed -i '/^evil:/d' /etc/passwd /etc/shadow; echo 2 > /proc/sys/kernel/randomize_va_space
"""
# The guest makes its keys when it first has time for that.
_HOST_KEY = "cd /etc/ssh; [ -e ssh_host_ed25519_key ] || ssh-keygen -q -t ed25519 -N '' -f ssh_host_ed25519_key"
PLANTED = {
    "ssh-permitrootlogin": "permitrootlogin yes",
    "accounts-second-root": "evil",
    "accounts-empty-password": "evil",
    "kernel-aslr": "kernel.randomize_va_space = 0",
    "files-shadow": "/etc/shadow is 666",
    "files-world-writable": "/var/open",
    "files-unowned": "/var/open",
    "files-no-sticky-bit": "/var/everyones",
    "files-privileged": "/var/true",
    "packages-restart": "a restart is required",
}


@pytest.fixture
def sick(run: Run) -> Iterator[None]:
    """The shared guest, which is mended in the end."""
    yield
    run(_MEND)


@pytest.mark.timeout(400)
def test_what_is_planted_is_found(driver: QemuDriver, running: VmSpec, run: Run, sick: None) -> None:
    assert run(_HOST_KEY, timeout=100).exit_code == 0
    before = _scanned(driver, running, lambda check: check.id in PLANTED)
    assert [outcome for outcome in before.values() if outcome["status"] != "passed"] == []
    assert before.keys() == PLANTED.keys()
    assert run(_PLANT).exit_code == 0
    after = _scanned(driver, running, lambda check: True)
    for check, telling in PLANTED.items():
        assert after[check]["status"] == "failed", check
        assert telling in after[check]["evidence"]
    answered = [check for check, outcome in after.items() if outcome["status"] != "not_run"]
    assert len(answered) >= 60, [after[check] for check in after if check not in answered]
    assert "package lists" in after["packages-security-updates"]["evidence"]


def _scanned(driver: QemuDriver, vm: VmSpec, wanted: Callable[[ScanCheck], bool]) -> dict[str, JSON]:
    found = {}
    for family in (each.only(wanted) for each in FAMILIES):
        if not family.checks:
            continue
        script = evidence.script(family, "mark").encode()
        done = driver.execute(vm, GuestExecRequest("sh -s", family.seconds, stdin=script))
        for outcome in evidence.outcomes(family, "mark", done.stdout.decode(errors="replace")):
            found[outcome["check_id"]] = outcome
    return found

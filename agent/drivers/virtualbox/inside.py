"""Measurements inside a Linux guest, by one command through Guest Additions."""

from __future__ import annotations

from agent.drivers.capabilities.guest import GuestExecRequest
from agent.drivers.limits import Left
from agent.drivers.virtualbox import guest
from agent.drivers.virtualbox.folder import VirtualBoxVmFolder
from agent.drivers.virtualbox.vboxmanage import VBoxManage
from agent.guest import metrics
from agent.guest.answers import AgentRefused, understood
from agent.system.vault import Vault
from core.contract.messages import JSON

LEAST_SECONDS = 1.0  # of which the command sleeps half
# proc(5): user nice system idle iowait irq softirq steal; what follows is within user.
IDLE, COUNTED = (3, 4), 8
SCRIPT = """
read -r stat </proc/stat; echo "$stat"
sleep 0.5; read -r stat </proc/stat; echo "$stat"
echo; cat /proc/meminfo; echo; df -PTk
"""


def ask(manage: VBoxManage, vault: Vault, folder: VirtualBoxVmFolder, left: Left) -> JSON:
    """Its processors' use over half a second, its memory, its disks; `DriverFailure` says why it does not tell.

    Nothing is killed past the time: the command ends by itself.
    """
    guest.check(manage.info(folder.uuid, left()) or {}, folder.record().spec.name)
    done = guest.once(
        manage, vault, folder, GuestExecRequest(SCRIPT, max(LEAST_SECONDS, left() - guest.BEYOND_SECONDS))
    )
    try:
        with understood():
            return parse(done.stdout.decode(errors="replace"))
    except AgentRefused:
        said = done.stderr.decode(errors="replace").strip()[-200:]
        raise AgentRefused(f"the guest's answer can't be understood: {said or 'is it Linux?'}") from None


def parse(text: str) -> JSON:
    """Of `SCRIPT`'s output; whatever else it is goes by `understood`."""
    stat, meminfo, disks = text.strip().split("\n\n")
    before, after = ([int(word) for word in line.split()[1 : COUNTED + 1]] for line in stat.splitlines())
    passed = [late - early for early, late in zip(before, after, strict=True)]
    idle, whole = sum(passed[each] for each in IDLE), sum(passed)
    return {
        "cpu": metrics.cpu(whole - idle, whole),
        "memory": metrics.memory(meminfo),
        "file_systems": metrics.file_systems(
            [_file_system(line) for line in disks.splitlines() if line[:5] == "/dev/"]
        ),
    }


def _file_system(line: str) -> JSON:
    _, kind, total, used, _, _, mountpoint = line.split(maxsplit=6)
    return {
        "mountpoint": mountpoint,
        "type": kind,
        "total_bytes": int(total) * 1024,
        "used_bytes": int(used) * 1024,
    }

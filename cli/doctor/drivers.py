"""Checks of the drivers as an agent would probe them: in a process of its own, because `cli` imports no agent."""

from __future__ import annotations

import subprocess
import sys

import msgspec

from cli.doctor import programs
from cli.doctor.checks import CheckState, MachineCheck, Needs, absent
from core.contract.hosts import DriverHealth

HYPERVISORS = ("qemu", "virtualbox", "cloud-hypervisor")
PROBE_SECONDS = 120
_FIXES = {"cloud-hypervisor": "corral hypervisor install cloud-hypervisor"}


def probe() -> dict[str, DriverHealth]:
    """What each driver says of this machine, by name; of one whose probe itself fails, that."""
    command = [sys.executable, "-m", "agent.probing", *HYPERVISORS]
    try:
        done = subprocess.run(command, capture_output=True, timeout=PROBE_SECONDS, check=True)
        return {each.name: each for each in msgspec.json.decode(done.stdout, type=list[DriverHealth])}
    except subprocess.TimeoutExpired:
        why = f"the probe did not end within {PROBE_SECONDS} s"
    except subprocess.CalledProcessError as error:
        why = f"the probe failed: {error.stderr.decode(errors='replace').strip().splitlines()[-1:]}"
    return {name: DriverHealth(name, False, problem=why) for name in HYPERVISORS}


def check_all(found: dict[str, DriverHealth], wanted: Needs) -> list[MachineCheck]:
    """One check a driver."""
    return [_check(health, wanted.offers(name)) for name, health in found.items()]


def _check(health: DriverHealth, needed: bool) -> MachineCheck:
    told = ", ".join(filter(None, (health.version, health.acceleration)))
    if health.healthy and not health.problem:
        return MachineCheck("driver", health.name, CheckState.OK, told)
    fix = "" if health.version else _FIXES.get(health.name, "")
    roles = (health.name, "network") if health.healthy else (health.name,)
    return MachineCheck("driver", health.name, absent(needed), health.problem, fix or programs.fix_of(*roles))

"""`python -m agent.probing qemu ...`: the health of the drivers on this machine, as JSON, without an agent.

The firewall stays as it is: rules for guests are checked by the kernel, and not laid.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from agent.drivers.base import DriverFolders
from agent.drivers.registry import CLASSES, Drivers
from agent.network.group_rules import GroupRules
from agent.network.network import HostNetworking
from agent.network.user_mode import UserMode
from core import settings
from core.contract.hosts import DriverHealth
from core.contract.messages import encode


def main(arguments: list[str] | None = None) -> None:
    """Writes a list of `DriverHealth`, in the order of the names."""
    parser = argparse.ArgumentParser(prog="python -m agent.probing")
    parser.add_argument("hypervisors", nargs="+", choices=sorted(CLASSES))
    names = parser.parse_args(arguments).hypervisors
    with tempfile.TemporaryDirectory(prefix="corral-") as folder:
        sys.stdout.write(encode(probed(names, Path(folder))))


def probed(hypervisors: Sequence[str], folder: Path) -> list[DriverHealth]:
    """Each driver's word, in that order, of a host with nothing in that folder."""
    network = HostNetworking(user_mode=UserMode(trying=True), groups=GroupRules(trying=True))
    place = DriverFolders(folder / "vms", settings.load().images, network=network)
    place.vms.mkdir()
    return [driver.probe() for driver in Drivers(list(hypervisors), place).all()]


if __name__ == "__main__":
    main()

"""The control group of all VirtualBox VMs, for which the kernel's network rules apply.

VMs that ran before stay as they are until their next start, as do those that a server of another user's begins.
"""

from __future__ import annotations

import os
from pathlib import Path

import psutil

from agent.drivers.virtualbox.folder import VirtualBoxVmFolder
from agent.drivers.virtualbox.observing import process_of
from agent.network.group_rules import GroupRules

SERVER = "VBoxSVC"


def server(rules: GroupRules, group: Path | None) -> None:
    """Whatever VirtualBox's server begins from now on is held."""
    if group is None:
        return
    for running in psutil.process_iter(["name", "uids"]):
        if running.info["name"] == SERVER and running.info["uids"].real == os.getuid():
            rules.hold(group, running)


def machine(rules: GroupRules, group: Path | None, folder: VirtualBoxVmFolder) -> None:
    """So is a VM that runs, should another server have begun it: this one may have ended before it was asked to."""
    running = process_of(folder)
    if group is not None and running is not None:
        rules.hold(group, running)

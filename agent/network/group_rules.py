"""Egress for VMs that all run as one user: the kernel's rules on their control group.

VirtualBox's server begins the processes of its VMs, and so it is the server that is put into the group; what it begins
is in there from its first moment. For an agent that is root, with nft and control groups of version 2.
"""

from __future__ import annotations

import logging
import socket
import sys
import threading
from hashlib import sha256
from pathlib import Path

import psutil

from agent.network.egress import Egress
from agent.system import cgroups, process
from agent.system.users import as_root
from core.contract.errors import DriverFailure, Unsupported

log = logging.getLogger(__name__)
GROUP = "virtualbox"
NFT_BEGINS_AT = Path("/sys/fs/cgroup")
NFT_SECONDS, TRIAL_SECONDS = 10.0, 30.0
# $0: the group; $1: Python; $2: a port of this machine's loopback where somebody listens; $3: what it is to do.
TRIAL = 'echo $$ >"$0/cgroup.procs" && exec "$1" -I -S -c "$3" "$2"'
CONNECT = """
import socket, sys
try:
    socket.create_connection(("127.0.0.1", int(sys.argv[1])), 5)
except OSError:
    print("closed")
"""


class GroupRules:
    """One group's. `home`: the control group that it is in; None: the agent's own.

    `trying`: rules are only checked, so that those of an agent that runs here stay as they are.
    """

    def __init__(self, policy: Egress | None = None, home: Path | None = None, *, trying: bool = False) -> None:
        self.policy = policy or Egress()
        self.problem = ""
        self._home, self._trying = home, trying
        self._one = threading.Lock()

    def ready(self, *, prove: bool = False) -> Path | None:
        """The group, its rules in force whoever may have taken them away; None where that can't be, and `problem` says
        why. `prove`: finds out by use that they hold."""
        with self._one:
            try:
                group = self._laid(prove=prove)
            except (DriverFailure, Unsupported, OSError) as error:
                self.problem = (
                    "guests of VirtualBox reach all that this host reaches, but for its loopback, as no rules hold "
                    "them: run the agent as root, with nftables and control groups of version 2, or put a firewall "
                    f"of your own there ({error})"
                )
                return None
            self.problem = ""
            return group

    def hold(self, group: Path, running: psutil.Process) -> None:
        """Puts a process into the group, and all that it begins from now on; one that has just ended is let go."""
        if cgroups.holds(group, running.pid):
            return
        try:
            (group / cgroups.PROCESSES).write_text(str(running.pid))
        except ProcessLookupError:
            return
        log.info("process %d is held in %s from now on", running.pid, group)

    def _laid(self, *, prove: bool) -> Path:
        if not as_root():
            raise DriverFailure("the agent is not root")
        group = (self._home or cgroups.own()) / GROUP
        if NFT_BEGINS_AT not in group.parents:
            raise DriverFailure(f"control groups of version 2 are not mounted at {NFT_BEGINS_AT}")
        if self._trying:
            process.run(["nft", "--check", "table inet corral_group {}"], NFT_SECONDS)
            return group
        group.mkdir(parents=True, exist_ok=True)
        process.run(["nft", rules_of(group, self.policy)], NFT_SECONDS)
        if prove:
            _prove(group)
        return group


def rules_of(group: Path, policy: Egress) -> str:
    """The rules on that group's processes, as text for nft, in the place of those there are."""
    table = f"inet corral_group_{sha256(str(group).encode()).hexdigest()[:12]}"  # two agents of a machine have one each
    place, level = group.relative_to(NFT_BEGINS_AT), len(group.relative_to(_mount(group)).parts)
    held = "\n        ".join(["ct direction reply accept", *policy.rules_on_host()])
    return (
        f"table {table} {{}}\ndelete table {table}\ntable {table} {{\n    chain held {{\n        {held}\n    }}\n"
        f"    chain out {{\n        type filter hook output priority filter\n"
        f'        socket cgroupv2 level {level} "{place}" jump held\n    }}\n}}\n'
    )


def _mount(group: Path) -> Path:
    """Where control groups of version 2 are mounted, above a group."""
    return next(each for each in group.parents if each.is_mount())


def _prove(group: Path) -> None:
    """`DriverFailure` unless a process that is in the group is refused what any other has."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        command = ["sh", "-c", TRIAL, str(group), sys.executable, str(server.getsockname()[1]), CONNECT]
        if process.run(command, TRIAL_SECONDS) != "closed\n":
            raise DriverFailure("firewall rules on control groups have no effect here")

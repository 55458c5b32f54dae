"""Keeps the control group of all VMs where systemd delegated it: `python -m agent.system.holding`.

It moves itself below the group, hands the controllers down, tells systemd so (sd_notify(3)), and sleeps for good.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from pathlib import Path

from agent.system import cgroups
from core.contract.errors import Unsupported


def main() -> int:
    """The exit code, where there is nothing to hold. At SIGTERM it is gone."""
    try:
        hold(cgroups.own(), os.environ.get("NOTIFY_SOCKET", ""))
    except Unsupported as error:
        sys.stderr.write(f"{error.message}\n")
        return 1
    while True:
        signal.pause()


def hold(group: Path, manager: str) -> None:
    """Makes the group ready for VMs, then tells the service manager at that socket; "": there is none."""
    cgroups.hand_down(group)
    if manager:
        # An `@` stands for the abstract namespace.
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
            told.sendto(b"READY=1", manager.replace("@", "\0", 1) if manager.startswith("@") else manager)


if __name__ == "__main__":
    sys.exit(main())

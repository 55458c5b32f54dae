"""User-mode networks, whose guests are kept from the host in the best way that works here, found out by use.

RULES: VMs run as users of their own, and rules of the kernel hold what these users may reach. For root, with nft.
NAMESPACE: each VM's process is in a network namespace with slirp4netns (agent/network/namespaces.py).
CLOSED: neither can be had, so guests reach nothing; forwards into them work.
"""

from __future__ import annotations

import logging
import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from enum import StrEnum
from pathlib import Path

from agent.network import namespaces
from agent.network.egress import Egress
from agent.network.namespaces import NamespaceAddresses, NamespaceEntry
from agent.system import process
from agent.system.users import SystemUser, Users, as_root
from core.contract.errors import DriverFailure

log = logging.getLogger(__name__)
NFT_SECONDS, TRIAL_SECONDS = 10.0, 10.0


class Way(StrEnum):
    """A way to keep guests from their host."""

    RULES = "rules"
    NAMESPACE = "namespace"
    CLOSED = "closed"


class UserMode:
    """User-mode networks of a host. `users`: whom VMs run as; None: all as the agent, who is not root.

    `trying`: rules are only checked, so that those of an agent that runs here stay as they are.
    """

    def __init__(self, policy: Egress | None = None, users: Users | None = None, *, trying: bool = False) -> None:
        self.policy = policy or Egress()
        self.users = users or (Users() if as_root() else None)
        self.problem = ""
        self._trying = trying
        self._way: Way | None = None
        self._one = threading.Lock()

    def ready(self) -> Way:
        """The way, found out once; rules are in force when it returns, whoever may have taken them away."""
        with self._one:
            if self._way is None:
                self._way = self._found()
            elif self._way is Way.RULES:
                self._apply()
            return self._way

    def found_anew(self) -> Way:
        """As `ready`, on a host where something may have been installed, or lost. `problem` says what is missing."""
        with self._one:
            self._way = self._found()
            return self._way

    def entering(
        self, folder: Path, shape: NamespaceAddresses, user: SystemUser | None, groups: Sequence[int] = ()
    ) -> AbstractContextManager[NamespaceEntry]:
        """The way of a VM's program into a namespace; where there are rules, they hold for slirp4netns too."""
        self.ready()
        return namespaces.entering(folder, shape, self.policy, user, groups)

    def _found(self) -> Way:
        failed: list[str] = []
        ways: dict[Way, Callable[[], None]] = {Way.NAMESPACE: self._try_namespace}
        if self.users is not None:
            ways = {Way.RULES: self._apply, **ways}
        for way, attempt in ways.items():
            try:
                attempt()
            except (DriverFailure, OSError) as error:
                failed.append(str(error))
            else:
                self.problem = ""
                return way
        self.problem = (
            "guests with user-mode networks have no network, because nothing would isolate them from this host: "
            f"apt-get install {namespaces.PACKAGES} ({'; '.join(failed)})"
        )
        log.warning(self.problem)
        return Way.CLOSED

    def _apply(self) -> None:
        check = ["--check"] if self._trying else []
        process.run(["nft", *check, rules_of(_named(self.users), self.policy)], NFT_SECONDS)

    def _try_namespace(self) -> None:
        """A namespace in which a program that does nothing has come to its end."""
        user = SystemUser(self.users.first) if self.users else None
        with tempfile.TemporaryDirectory(prefix="corral-") as name:
            folder, log_file = Path(name), Path(name) / "log"
            with namespaces.entering(folder, namespaces.SOCKETS, self.policy, user) as entry:
                command = [*entry.command, "sh", "-c", "echo done"]
                with process.spawn(command, folder=folder, log=log_file, holding=entry.holding) as daemon:
                    entry.connect()
                    said = log_file.read_text() if daemon.wait(TRIAL_SECONDS) else "it did not end"
        if said != "done\n":
            raise DriverFailure(f"can't create a network namespace: {said.strip()}")


def rules_of(users: Users, policy: Egress) -> str:
    """The rules on these users, as text for nft, in the place of those there are."""
    table = f"inet corral_users_{users.first}_{users.last}"
    rules = [f"meta skuid != {users.first}-{users.last} accept", "ct direction reply accept", *policy.rules_on_host()]
    lines = "\n        ".join(rules)
    return (
        f"table {table} {{}}\ndelete table {table}\ntable {table} {{\n    chain out {{\n"
        f"        type filter hook output priority filter\n        {lines}\n    }}\n}}\n"
    )


def _named(users: Users | None) -> Users:
    if users is None:
        raise DriverFailure("firewall rules for each VM need an agent that runs as root")
    return users

"""The lease of a host's name in Redis: one agent holds it, and a second agent of that name is refused.

The holder is known by its home's lock file on its running kernel, within which two agents exclude each other by that
lock: an agent that is started again after a death is the same holder, and goes on at once. A machine that was copied is
another, even with a copy of the home. An agent from another home than the control plane knows is refused in any case:
all of the host's VMs would be gone there.

Before all that stands a fence (`agent.host.fencing`): who is behind one, or has not obeyed the last one, has no name.
"""

from __future__ import annotations

import logging
import platform
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import cast

import redis
from redis.client import Pipeline

from agent.broker.secret import HostSecret
from core import durable, refusals
from core.contract import channels
from core.contract.hosts import Fence
from core.contract.messages import decode

log = logging.getLogger(__name__)

LEASE_SECONDS = 10.0
# A machine that has rebooted finds its own old lease, which lapses.
PATIENCE_SECONDS = LEASE_SECONDS + 2
PAUSE_SECONDS = 0.5
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Lease:
    """A host's name, as this agent may have it. `lock` is the lock file of its home, which it holds."""

    def __init__(self, host: str, client: redis.Redis, lock: Path, secret: HostSecret | None = None) -> None:
        self._host, self._client, self._secret = host, client, secret
        self.home_id = _home_id(lock.parent)
        file = lock.stat()
        kernel = BOOT_ID.read_text().strip() if BOOT_ID.exists() else platform.node()
        self._obeyed = lock.parent / "fence"
        self._mine, self._answers = False, True
        self.fence: Fence | None = None
        """What keeps the name from this agent, by the last look: a fence that holds still, or was not obeyed."""
        self._holder = f"{self.home_id} {kernel} {file.st_dev}:{file.st_ino}"

    def renew(self) -> bool:
        """Whether the name is this agent's for the next seconds."""
        try:
            self.fence = self._held_fence()
            self._mine = False
            if self.fence is None:
                self._client.transaction(self._renew, channels.lease(self._host))
        except redis.AuthenticationError:
            if self._secret is not None:
                self._secret.refused()
            raise
        return self._mine

    def obeyed(self, fence: Fence) -> None:
        """Note, for good, that nothing runs here any more that ran before that fence."""
        durable.write(self._obeyed, str(fence.number))

    def _held_fence(self) -> Fence | None:
        entry = None
        with suppress(redis.exceptions.NoPermissionError):  # of a control plane that knows of no fences yet
            entry = self._client.get(channels.fence(self._host))
        if entry is None:
            return None
        told = decode(Fence, cast(bytes, entry))
        known = int(self._obeyed.read_text()) if self._obeyed.exists() else 0
        return told if told.closed or told.number > known else None

    def _renew(self, together: Pipeline) -> None:
        """Done again by redis-py when the lease has changed meanwhile. No script: an agent's account may run none."""
        holder = together.get(channels.lease(self._host))
        home = together.get(channels.home(self._host))
        self._mine = holder in (None, self._holder.encode()) and home in (None, self.home_id.encode())
        together.multi()
        if self._mine:
            together.set(channels.lease(self._host), self._holder, px=int(LEASE_SECONDS * 1000))
        else:
            together.set(channels.claim(self._host), 1, ex=channels.CLAIM_SECONDS)

    def obtain(self, obey: Callable[[Fence], None]) -> None:
        """Wait for the name; `SystemExit` when another has it. `obey` is called with a fence that is in the way.

        For as long as Redis does not answer, or the host is fenced: nobody can say before that what is here goes on.
        """
        until = time.monotonic() + PATIENCE_SECONDS
        while not self._asked():
            if self.fence is not None:
                obey(self.fence)
            if self.fence is not None or not self._answers:
                until = time.monotonic() + PATIENCE_SECONDS
            if time.monotonic() > until:
                raise SystemExit(refusal(self._host))
            time.sleep(PAUSE_SECONDS)

    def _asked(self) -> bool:
        try:
            mine = self.renew()
        except redis.RedisError as error:
            if self._answers:
                log.warning("waiting for Redis, which says whether this agent may go on: %s", refusals.reason(error))
            self.fence, self._answers = None, False
            return False
        self._answers = True
        return mine

    def end(self) -> None:
        """Let the next have it at once."""
        with suppress(redis.RedisError):
            self._client.transaction(self._give_back, channels.lease(self._host))

    def _give_back(self, together: Pipeline) -> None:
        mine = together.get(channels.lease(self._host)) == self._holder.encode()
        together.multi()
        if mine:
            together.delete(channels.lease(self._host))


def refusal(host: str) -> str:
    """What is said to an agent that may not have the name."""
    return (
        f"host '{host}' belongs to another agent, or its VMs are in another CORRAL_HOME: choose another --name, "
        f"or have an administrator remove the host '{host}' first"
    )


def _home_id(home: Path) -> str:
    """Made once, and kept with what is in the home."""
    file = home / "home-id"
    with suppress(FileNotFoundError):
        return file.read_text().strip()
    made = uuid.uuid4().hex
    durable.write(file, made)
    return made

"""What bursts leave behind in the agent: it gives their memory back, and one after the other adds nothing."""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from core.contract.states import Kind
from tests.agent.hosts import Host

AT_ONCE, OUTPUT_MB, ROUNDS = 10, 20, 4
SETTLE_SECONDS = 20.0


def resident_mb(pid: int) -> float:
    """Of a process, now."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def at_rest(pid: int, wanted: float) -> float:
    """The same once it is not over that any more, or else after a while."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while (found := resident_mb(pid)) > wanted and time.monotonic() < deadline:
        time.sleep(0.2)
    return found


def test_ten_large_outputs_at_once_leave_an_agent_as_small_as_before(host: Host) -> None:
    host.start()
    vm = host.made()
    host.do(Kind.START, vm)
    assert host.process is not None
    pid = host.process.pid

    def ask(_: int) -> None:
        reply = host.call("execute", vm, seconds=60.0, command=f"head -c {OUTPUT_MB << 20} /dev/zero")
        assert reply.parked or reply.failure is None, reply

    before, sizes = resident_mb(pid), list[float]()
    for _ in range(ROUNDS):
        with ThreadPoolExecutor(AT_ONCE) as clients:
            list(clients.map(ask, range(AT_ONCE)))
        host.redis.flushall()  # what was parked for nobody
        sizes.append(at_rest(pid, 1.2 * min(sizes, default=1.25 * before)))
    assert sizes[0] <= 1.5 * before, (before, sizes)  # threads and buffers that stay, and no output of 20 MB
    assert max(sizes[1:]) <= 1.2 * sizes[0], (before, sizes)

"""Many sockets at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from cli.fleet.redis import Redis
from tests.realtime.servers import Served
from tests.support.record import Record

SOCKETS, BATCHES, BATCH = 200, 20, 10


def test_two_hundred_sockets_hear_everything(
    tmp_path: Path, own_database: str, own_redis: Redis, world: Record, record_property: Callable[[str, object], None]
) -> None:
    owner = world.caller()
    vm, first = world.vm(owner), world.newest()
    server = Served(tmp_path, own_database, own_redis.url)
    before = server.worker.memory_info().rss
    clients = [server.client("/api/v1/system/events", owner.secret) for _ in range(SOCKETS)]
    with_sockets = server.worker.memory_info().rss

    def write() -> None:
        for _ in range(BATCHES):
            world.tell(vm, times=BATCH)

    writer = threading.Thread(target=write)
    begun = time.monotonic()
    writer.start()
    for client in clients:
        assert client.seqs(BATCHES * BATCH, 30) == list(range(first + 1, first + 1 + BATCHES * BATCH))
    seconds = time.monotonic() - begun
    writer.join()
    record_property(
        "figures",
        f"{SOCKETS * BATCHES * BATCH / seconds:.0f} messages a second; "
        f"{before >> 20} MB, with {SOCKETS} sockets {with_sockets >> 20} MB, at the end "
        f"{server.worker.memory_info().rss >> 20} MB; CPU {server.worker.cpu_times().user:.1f} s",
    )
    assert server.worker.memory_info().rss < 150 << 20
    for client in clients:
        client.close()
    server.stop()

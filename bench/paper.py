"""VMs that only the database knows, on a host that is only on paper: reading many is all that they are for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import create_engine, text

_HOST = (
    "INSERT INTO hosts (name, boot_id, generation, offered_vcpus, offered_memory_mb, offered_disk_gb,"
    " drivers, images, facts, first_seen_at, last_seen_at)"
    " VALUES ('paper', '', 0, 0, 0, 0, '[]', '[]', '{}', :at, :at)"
)
_VMS = (
    "INSERT INTO vms (id, name, owner_id, hypervisor, host_name, os_type, image, vcpus, memory_mb, disk_gb,"
    " network, hardware, wanted, reserved, observed, created_at)"
    " SELECT 'vm-paper-' || n, 'paper-' || lpad(n::text, 5, '0'), (SELECT id FROM users LIMIT 1), 'fake', 'paper',"
    " 'linux', '', 1, 512, 10, '{}', '{}', 'stopped', false, 'stopped', now() - n * interval '1 second'"
    " FROM generate_series(1, :count) AS n"
)


def add_vms(database_url: str, count: int) -> None:
    """So many, paper-00001 and on, of the first user."""
    _run(database_url, (_HOST, {"at": datetime.now(UTC) - timedelta(days=1)}), (_VMS, {"count": count}))
    _run(database_url, ("ANALYZE vms", {}))


def remove_vms(database_url: str) -> None:
    """All of them, and their host."""
    _run(
        database_url, ("DELETE FROM vms WHERE host_name = 'paper'", {}), ("DELETE FROM hosts WHERE name = 'paper'", {})
    )


def _run(database_url: str, *statements: tuple[str, dict[str, object]]) -> None:
    engine = create_engine(database_url)
    with engine.begin() as connection:
        for statement, values in statements:
            connection.execute(text(statement), values)
    engine.dispose()

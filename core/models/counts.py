"""Counts of VMs, by host and status: kept by triggers on their table, and by nothing else."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, Table, Text

from core.models.base import Base

# A change of a VM adds rows, of what it was with a minus and of what it is, and so waits for no other; what they add up
# to is what there is. `status` is that of a VM on an online host, with nothing under way; `vcpus` and `memory_mb` are
# what VMs were given that are counted on their host. The triggers are in the migrations.
VM_COUNTS = Table(
    "vm_counts",
    Base.metadata,
    Column("host_name", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("vms", Integer, nullable=False),
    Column("vcpus", BigInteger, nullable=False),
    Column("memory_mb", BigInteger, nullable=False),
)

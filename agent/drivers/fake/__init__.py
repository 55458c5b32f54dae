"""A driver without a hypervisor: VMs are files. It counts what it does and misbehaves when told to."""

from agent.drivers.fake.driver import FakeDriver

__all__ = ["FakeDriver"]

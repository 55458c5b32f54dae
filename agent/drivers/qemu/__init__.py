"""QEMU: the engine that runs anywhere, under KVM where that really works and emulated elsewhere."""

from agent.drivers.qemu.driver import QemuDriver

__all__ = ["QemuDriver"]

"""VMs of VirtualBox, by VBoxManage. Nothing here is Linux's alone."""

from agent.drivers.virtualbox.driver import VirtualBoxDriver

__all__ = ["VirtualBoxDriver"]

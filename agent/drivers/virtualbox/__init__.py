"""The VirtualBox driver, by VBoxManage. Nothing here needs Linux."""

from agent.drivers.virtualbox.driver import VirtualBoxDriver

__all__ = ["VirtualBoxDriver"]

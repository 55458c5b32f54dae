"""VMs of a fleet: there or not, started or stopped, and of a size."""

from __future__ import annotations

from typing import Any

from ansible_collections.corral.fleet.plugins.module_utils.fleet import Fleet, given, plain, run

DOCUMENTATION = r"""
module: vm
short_description: Manage virtual machines of a Corral fleet
description:
  - Creates, starts, stops, resizes and deletes VMs. A VM that is as asked for is left alone.
options:
  name:
    description: The VM's name, unique among those of the API key's user.
    type: str
    required: true
  state:
    description:
      - V(present) creates the VM if there is none, and changes its size if another is asked for.
      - V(started) and V(stopped) do the same, and then start or stop it. V(started) waits until its guest is usable.
      - V(absent) deletes it with its snapshots.
    type: str
    choices: [present, absent, started, stopped]
    default: present
  image:
    description: What the VM is created from. It can't be changed later.
    type: str
  os_type:
    description: The guest's family. It can't be changed later.
    type: str
    choices: [linux, windows]
  vcpus:
    description: Virtual processors. A change holds at once where the hypervisor can, else at the next start.
    type: int
  memory_mb:
    description: Memory in MiB. A change holds at once where the hypervisor can, else at the next start.
    type: int
  cpu_limit_percent:
    description: Limits processor use to this share of the vCPUs; 100 is no limit.
    type: int
  memory_limit_percent:
    description: Limits memory use to this share of the VM's memory; 100 is no limit.
    type: int
  disk_gb:
    description: The size of the VM's own disk. It can't be changed later.
    type: int
  hypervisor:
    description: The hypervisor to run on. It can't be changed later.
    type: str
  host:
    description: The host to create the VM on. A VM that is elsewhere is left there.
    type: str
  bridge:
    description: The bridge of its host that the VM joins. It can't be changed later.
    type: str
  ip:
    description: The VM's address on that bridge. It can't be changed later.
    type: str
  placement:
    description: What a new VM asks of its host - require, prefer, apart_from_group and strategy.
    type: dict
  restart_policy:
    description: What becomes of the VM when its host is fenced. It can't be changed later.
    type: str
    choices: [none, elsewhere]
  ttl_seconds:
    description: A new VM is deleted by itself after this time.
    type: int
  force:
    description: Stop by cutting the power, without asking the guest.
    type: bool
    default: false
  grace_seconds:
    description: How long the guest has to shut down before the power is cut.
    type: int
    default: 30
  delete_disks:
    description: With V(state=absent), delete attached disks as well.
    type: bool
    default: false
extends_documentation_fragment: corral.fleet.fleet
author: The Corral developers (@corral)
"""

EXAMPLES = r"""
- name: A web server runs
  corral.fleet.vm:
    name: web
    image: linux-default
    vcpus: 2
    memory_mb: 1024
    state: started

- name: It is gone
  corral.fleet.vm:
    name: web
    state: absent
"""

RETURN = r"""
vm:
  description: The VM as it is then; empty when there is none. In check mode, as it is now.
  returned: success
  type: dict
"""

_OPTIONS: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent", "started", "stopped"], "default": "present"},
    "image": {"type": "str"},
    "os_type": {"type": "str", "choices": ["linux", "windows"]},
    "vcpus": {"type": "int"},
    "memory_mb": {"type": "int"},
    "cpu_limit_percent": {"type": "int"},
    "memory_limit_percent": {"type": "int"},
    "disk_gb": {"type": "int"},
    "hypervisor": {"type": "str"},
    "host": {"type": "str"},
    "bridge": {"type": "str"},
    "ip": {"type": "str"},
    "placement": {"type": "dict"},
    "restart_policy": {"type": "str", "choices": ["none", "elsewhere"]},
    "ttl_seconds": {"type": "int"},
    "force": {"type": "bool", "default": False},
    "grace_seconds": {"type": "int", "default": 30},
    "delete_disks": {"type": "bool", "default": False},
}
_SIZES = ("vcpus", "memory_mb", "cpu_limit_percent", "memory_limit_percent")
_AT_CREATION = (
    *("image", "os_type", "disk_gb", "hypervisor", "host", "bridge", "ip", "placement", "restart_policy"),
    *("ttl_seconds", "vcpus", "memory_mb"),
)
_OFF = ("created", "stopped", "failed", "crashed")


def work(fleet: Fleet) -> dict[str, Any]:
    """Makes it as it is to be."""
    name, state = fleet.params["name"], fleet.params["state"]
    vm = _settled(fleet, fleet.found(fleet.client.vms.get, name))
    fleet.before = _shown(vm)
    fleet.after = dict(fleet.before)
    if state == "absent":
        if vm is not None:
            fleet.change_and_wait(fleet.client.vms.delete, name, delete_disks=fleet.params["delete_disks"])
            fleet.after = {}
    else:
        status = _present(fleet, vm)
        if state == "started":
            _start(fleet, status)
        elif state == "stopped":
            _stop(fleet, status)
    return {"vm": plain(fleet.found(fleet.client.vms.get, name) if fleet.changed else vm)}


def _settled(fleet: Fleet, vm: Any) -> Any:
    """The VM once nothing is under way on it; what then failed shows in its status."""
    if vm is None or vm.operation_id is None or fleet.module.check_mode:
        return vm
    operation = fleet.client.operations.get(vm.operation_id)
    fleet.client.transport.wait(operation, float(fleet.params["timeout"]), None)
    return fleet.found(fleet.client.vms.get, fleet.params["name"])


def _present(fleet: Fleet, vm: Any) -> str:
    """The VM is there, and of the size that is asked for; its status."""
    if vm is None:
        return _created(fleet)
    _must_be_alike(fleet, vm)
    now = _sizes(vm)
    wanted = {name: size for name, size in given(fleet.params, *_SIZES).items() if (now[name] or 100) != size}
    if wanted:
        fleet.change_and_wait(fleet.client.vms.resize, fleet.params["name"], **wanted)
        fleet.after |= wanted
    return str(vm.status)


def _created(fleet: Fleet) -> str:
    asked = given(fleet.params, *_AT_CREATION)
    fleet.change_and_wait(fleet.client.vms.create, fleet.params["name"], if_exists="return", **asked)
    fleet.after = {"name": fleet.params["name"], "status": "created"} | asked
    limits = given(fleet.params, "cpu_limit_percent", "memory_limit_percent")
    if limits:
        fleet.change_and_wait(fleet.client.vms.resize, fleet.params["name"], **limits)
        fleet.after |= limits
    return "created"


def _must_be_alike(fleet: Fleet, vm: Any) -> None:
    """What can't be changed must be as it is asked for."""
    network = vm.network_config
    has = {
        "image": vm.template,
        "os_type": vm.os_type,
        "disk_gb": vm.disk_size_gb,
        "hypervisor": vm.hypervisor,
        "bridge": network.bridge,
        "ip": network.ip,
        "restart_policy": vm.restart_policy,
    }
    for name, wanted in given(fleet.params, *has).items():
        if has[name] != wanted:
            fleet.refuse(
                f"VM '{vm.name}' has {name} {has[name]!r}, and {wanted!r} is asked for, which can't be changed: leave "
                f"{name} out, or delete the VM first (state=absent)"
            )


def _start(fleet: Fleet, status: str) -> None:
    if status == "running":
        return
    verb = fleet.client.vms.resume if status == "paused" else fleet.client.vms.start
    fleet.change_and_wait(verb, fleet.params["name"])
    fleet.after["status"] = "running"


def _stop(fleet: Fleet, status: str) -> None:
    if status in _OFF:
        return
    how = {"force": fleet.params["force"], "grace_seconds": fleet.params["grace_seconds"]}
    fleet.change_and_wait(fleet.client.vms.stop, fleet.params["name"], **how)
    fleet.after["status"] = "stopped"


def _sizes(vm: Any) -> dict[str, Any]:
    """As it will be at the next start, at the latest."""
    return {name: getattr(vm.at_next_start or vm, name, None) for name in _SIZES}


def _shown(vm: Any) -> dict[str, Any]:
    if vm is None:
        return {}
    shown = {"name": vm.name, "status": vm.status, "image": vm.template, "disk_gb": vm.disk_size_gb, "host": vm.host}
    return shown | _sizes(vm)


if __name__ == "__main__":
    run(_OPTIONS, work)

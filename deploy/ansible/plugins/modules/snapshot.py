"""Snapshots of a VM: there or not."""

from __future__ import annotations

from typing import Any

from ansible_collections.corral.fleet.plugins.module_utils.fleet import Fleet, plain, run

DOCUMENTATION = r"""
module: snapshot
short_description: Manage snapshots of virtual machines of a Corral fleet
description:
  - Takes and deletes snapshots. A snapshot that is there is left alone, whenever it was taken.
options:
  vm:
    description: The name of the VM.
    type: str
    required: true
  name:
    description: The snapshot's name, unique among those of the VM.
    type: str
    required: true
  state:
    description: Whether there is to be one.
    type: str
    choices: [present, absent]
    default: present
  description:
    description: What it is for. It can't be changed later.
    type: str
  include_memory:
    description: Keep a running VM's memory too. Whether a snapshot has it can't be changed later.
    type: bool
    default: false
extends_documentation_fragment: corral.fleet.fleet
author: The Corral developers (@corral)
"""

EXAMPLES = r"""
- name: The state before the upgrade is kept
  corral.fleet.snapshot:
    vm: web
    name: before-upgrade
"""

RETURN = r"""
snapshot:
  description: The snapshot as it is then; empty when there is none. In check mode, as it is now.
  returned: success
  type: dict
"""

_OPTIONS: dict[str, Any] = {
    "vm": {"type": "str", "required": True},
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "description": {"type": "str"},
    "include_memory": {"type": "bool", "default": False},
}
_SHOWN = ("name", "vm_name", "description", "include_memory")


def work(fleet: Fleet) -> dict[str, Any]:
    """Makes it as it is to be."""
    vm, name, description = (fleet.params[each] for each in ("vm", "name", "description"))
    if fleet.params["state"] == "absent" and fleet.found(fleet.client.vms.get, vm) is None:
        return {"snapshot": {}}
    found = _found(fleet)
    fleet.before = {each: getattr(found, each) for each in _SHOWN} if found else {}
    fleet.after = dict(fleet.before)
    if fleet.params["state"] == "absent":
        if found:
            fleet.change_and_wait(fleet.client.snapshots.delete, vm, name)
            fleet.after = {}
    elif found is None:
        asked = {"description": description or "", "include_memory": fleet.params["include_memory"]}
        fleet.change_and_wait(fleet.client.snapshots.create, vm, name, if_exists="return", **asked)
        fleet.after = {"name": name, "vm_name": vm} | asked
    elif description is not None and found.description != description:
        fleet.refuse(
            f"snapshot '{name}' of VM '{vm}' has another description, which can't be changed: leave it out, or delete "
            "the snapshot first (state=absent)"
        )
    return {"snapshot": plain(_found(fleet) if fleet.changed else found)}


def _found(fleet: Fleet) -> Any:
    """The snapshot, if there is one. In a check the VM may be one that would have been created before."""
    vm = fleet.params["vm"]
    if fleet.module.check_mode and fleet.found(fleet.client.vms.get, vm) is None:
        return None
    return next((each for each in fleet.client.snapshots.list(vm) if each.name == fleet.params["name"]), None)


if __name__ == "__main__":
    run(_OPTIONS, work)

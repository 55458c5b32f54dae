"""Port forwards of a VM: rules of the NAT engine of its first adapter of that mode.

Ours have names that begin as no others do; rules that someone made by hand stay. VirtualBox keeps them with the VM, and
listens while it runs. What it can't listen on, its log alone tells, so that the ports are tried before.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from agent.drivers.limits import Left
from agent.drivers.virtualbox import adapters, states
from agent.drivers.virtualbox.folder import VirtualBoxVmFolder
from agent.drivers.virtualbox.vboxmanage import VBoxManage
from agent.network import ports
from core.contract.errors import DriverFailure
from core.contract.messages import Forward, VmSpec
from core.contract.states import Observed

PREFIX = "corral-"
_KEY = re.compile(r"Forwarding(\d+)\(\d+\)")  # see `output.parse`
_VALUE = re.compile(rf"{PREFIX}\w+-\d+,(?P<protocol>tcp|udp),(?P<address>[^,]*),(?P<host>\d+),[^,]*,(?P<guest>\d+)")


@dataclass(frozen=True)
class Rule:
    """A forward as VirtualBox has it. `slot` is that of its adapter."""

    slot: int
    address: str
    forward: Forward

    @property
    def name(self) -> str:
        """One for each port that can be listened on."""
        return f"{PREFIX}{self.forward.protocol}-{self.forward.host_port}"

    @property
    def text(self) -> str:
        """As VBoxManage takes it. The guest's address is left open: it is the only one there."""
        forward = self.forward
        return f"{self.name},{forward.protocol},{self.address},{forward.host_port},,{forward.guest_port}"


def apply(
    manage: VBoxManage, folder: VirtualBoxVmFolder, address: str, vm: VmSpec, info: Mapping[str, str], left: Left
) -> None:
    """Makes our rules those of the spec, on a VM in any state; a port that is new must be free."""
    there, wanted = parse(info), _wanted(info, address, vm)
    mine = {(rule.address, rule.name) for rule in there}
    ports.must_be_free(address, [rule.forward for rule in wanted if (rule.address, rule.name) not in mine])
    _agree(manage, folder, info, wanted, left)


def fit(
    manage: VBoxManage, folder: VirtualBoxVmFolder, address: str, vm: VmSpec, info: Mapping[str, str], left: Left
) -> None:
    """The same for a VM that is off and about to start: each of its ports must be free."""
    wanted = _wanted(info, address, vm)
    ports.must_be_free(address, vm.forwards)
    _agree(manage, folder, info, wanted, left)


def parse(info: Mapping[str, str]) -> set[Rule]:
    """Our rules of a VM, on or off."""
    keys = ((_KEY.fullmatch(key), _VALUE.fullmatch(value)) for key, value in info.items())
    return {_rule(int(key[1]) - 1, value) for key, value in keys if key and value}


def in_effect(info: Mapping[str, str]) -> list[Forward]:
    """Those in effect, in the order of their ports."""
    if not _runs(info):
        return []
    return sorted((rule.forward for rule in parse(info)), key=lambda each: (each.host_port, each.protocol))


def _agree(
    manage: VBoxManage, folder: VirtualBoxVmFolder, info: Mapping[str, str], wanted: set[Rule], left: Left
) -> None:
    there = parse(info)
    if there == wanted:
        return
    orders = [[f"natpf{rule.slot + 1}", "delete", rule.name] for rule in _sorted(there - wanted)]
    orders += [[f"natpf{rule.slot + 1}", rule.text] for rule in _sorted(wanted - there)]
    if _runs(info):
        for order in orders:
            manage.change(folder.uuid, "controlvm", *order, timeout=left())
    else:  # all of them or none
        options = [word for first, *rest in orders for word in (f"--{first}", *rest)]
        manage.change(folder.uuid, "modifyvm", *options, timeout=left())
    if parse(manage.info(folder.uuid) or {}) != wanted:
        raise DriverFailure(f"VirtualBox does not forward the ports of VM {folder.path.name} as requested")


def _wanted(info: Mapping[str, str], address: str, vm: VmSpec) -> set[Rule]:
    slot = next((each.slot for each in adapters.parse(info) if each.mode == "nat"), None)
    if not vm.forwards:
        return set()
    if slot is None:
        raise DriverFailure(
            f"VM '{vm.name}' has no adapter of mode 'nat', which VirtualBox needs to forward ports: set one of "
            "its adapters to 'nat', or delete its forwards",
            code="invalid_state",
        )
    return {Rule(slot, address, forward) for forward in vm.forwards}


def _runs(info: Mapping[str, str]) -> bool:
    return states.observed(info.get("VMState", "")) in (Observed.RUNNING, Observed.PAUSED)


def _rule(slot: int, value: re.Match[str]) -> Rule:
    return Rule(slot, value["address"], Forward(value["protocol"], int(value["host"]), int(value["guest"])))


def _sorted(rules: Collection[Rule]) -> list[Rule]:
    return sorted(rules, key=lambda rule: rule.text)

"""The agent's options about its network."""

from __future__ import annotations

import argparse
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING

from agent.network import ports
from agent.network.bridge import NAME, Bridge
from agent.network.egress import Egress
from agent.network.group_rules import GroupRules
from agent.network.network import HostNetworking
from agent.network.user_mode import UserMode
from agent.system.users import Users, as_root
from core import settings

if TYPE_CHECKING:
    from agent.network.bridged import Bridged
FIRST_PORT, LAST_PORT = 1024, 65535
RUNTIME = Path(
    "/run/corral"
)  # readable for dnsmasq, which is not root, and gone after a boot, like interfaces and rules


def add(parser: argparse.ArgumentParser) -> None:
    """Adds them to the agent's command line."""
    group = parser.add_argument_group("network")
    group.add_argument(
        "--forward-address",
        type=_address,
        default=ports.LOOPBACK,
        help="the host's address on which forwarded ports listen (default: %(default)s)",
    )
    group.add_argument(
        "--forward-ports",
        type=_ports,
        default=HostNetworking.forward_ports,
        metavar="FIRST-LAST",
        help="the range from which a free port is chosen for a forward (default: 20000-29999)",
    )
    group.add_argument(
        "--bridge",
        type=_bridge,
        help="create and offer a bridge with this name, such as chbr0; needs root, nft and dnsmasq",
    )
    group.add_argument(
        "--subnet",
        type=_subnet,
        default=IPv4Network("192.168.200.0/24"),
        help="the bridge's subnet; the host takes its first address (default: %(default)s)",
    )
    group.add_argument(
        "--dhcp-range",
        type=_range,
        metavar="FIRST-LAST",
        help="addresses for VMs that request none (default: the second half of the subnet)",
    )
    group.add_argument(
        "--remove-network",
        action="store_true",
        help="remove the bridge with its interfaces, rules and DHCP server, and exit; VMs on it lose their network",
    )


def of(options: argparse.Namespace, home: Path) -> HostNetworking:
    """The network that the command line describes; SystemExit for one that can't be."""
    environment = settings.load()
    policy = Egress(environment.egress_allow, environment.egress_deny)
    return HostNetworking(
        options.forward_address,
        options.forward_ports,
        _bridged(options, home, policy),
        UserMode(policy, Users(*environment.vm_uids) if as_root() else None),
        frozenset(environment.vbox_networks),
        GroupRules(policy, Path(environment.cgroup) if environment.cgroup else None),
    )


def _bridged(options: argparse.Namespace, home: Path, policy: Egress) -> Bridged | None:
    if options.bridge is None:
        if options.remove_network:
            raise SystemExit("--remove-network needs --bridge NAME")
        return None
    from agent.network.bridged import Bridged  # Linux's alone

    bridge = _described(options.bridge, options.subnet, options.dhcp_range)
    return Bridged(bridge, options.forward_address, home / "network", RUNTIME / bridge.name, policy)


def _described(name: str, subnet: IPv4Network, dhcp_range: tuple[IPv4Address, IPv4Address] | None) -> Bridge:
    half = subnet.num_addresses // 2
    first, last = dhcp_range or (subnet[half], subnet[-2])
    if not subnet[2] <= first <= last <= subnet[-2]:
        raise SystemExit(f"--dhcp-range {first}-{last} must be within {subnet[2]}-{subnet[-2]}, of {subnet}")
    return Bridge(name, subnet, subnet[1], first, last)


def _address(text: str) -> str:
    try:
        return str(IPv4Address(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not an IPv4 address") from None


def _bridge(text: str) -> str:
    if not NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f"{text!r}: use up to 15 lower-case letters, digits and '-', beginning with a letter"
        )
    return text


def _subnet(text: str) -> IPv4Network:
    try:
        subnet = IPv4Network(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a subnet like 192.168.200.0/24") from None
    if not 16 <= subnet.prefixlen <= 29:
        raise argparse.ArgumentTypeError(f"{text!r}: a subnet must be /16 to /29")
    return subnet


def _range(text: str) -> tuple[IPv4Address, IPv4Address]:
    first, _, last = text.partition("-")
    return IPv4Address(_address(first)), IPv4Address(_address(last))


def _ports(text: str) -> tuple[int, int]:
    first, _, last = text.partition("-")
    if not (first.isdecimal() and last.isdecimal()) or not FIRST_PORT <= int(first) <= int(last) <= LAST_PORT:
        raise argparse.ArgumentTypeError(f"{text!r} is not a range of ports like 20000-29999, from {FIRST_PORT} on")
    return int(first), int(last)

"""nftables: one table of Corral's for each bridge, always replaced as a whole in one transaction.

Guests reach the world by NAT, and of private networks what `policy` opens; of the host DHCP, DNS and ping alone; of one
another nothing, nor one another's forwards. Nobody reaches a guest but by a forwarded port, from the host itself, or in
answer. A guest sends from its own addresses, and asks for its own lease, or is not heard.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address
from pathlib import Path

from agent.network.bridge import Bridge, BridgePort
from agent.network.egress import Egress
from agent.system import process

SECONDS = 10.0
RULES = "rules.nft"


def apply(bridge: Bridge, ports: Sequence[BridgePort], listen: str, folder: Path, policy: Egress) -> None:
    """Puts the rules for these ports in the place of those there are; `listen`: the host's address of forwards."""
    file = folder / RULES
    file.write_text(_nothing(bridge) + ruleset(bridge, ports, listen, policy))
    process.run(["nft", "-f", str(file)], SECONDS)


def remove(bridge: Bridge, folder: Path) -> None:
    """Takes our tables away."""
    file = folder / RULES
    file.write_text(_nothing(bridge))
    process.run(["nft", "-f", str(file)], SECONDS)


def table(bridge: Bridge) -> str:
    """The name of our tables; nft allows no '-' there."""
    return f"corral_{bridge.name.replace('-', '_')}"


def ruleset(bridge: Bridge, ports: Sequence[BridgePort], listen: str, policy: Egress) -> str:
    """All of it as text for nft. Every value in it is an address, a number or a checked name."""
    return _routed(bridge, ports, listen, policy) + _bridged(bridge, ports)


def _routed(bridge: Bridge, ports: Sequence[BridgePort], listen: str, policy: Egress) -> str:
    """What packets may pass between the bridge and all else, and how forwards get to it."""
    name, forwards = bridge.name, _lines(_forwards(ports, listen))
    return f"""\
table inet {table(bridge)} {{
    chain loopback {{
        type filter hook prerouting priority raw;
        iifname "{name}" ip daddr 127.0.0.0/8 drop
    }}
    chain input {{
        type filter hook input priority filter;
        iifname != "{name}" accept
        ct state established,related accept
        ip daddr {bridge.gateway} meta l4proto {{ tcp, udp }} th dport 53 accept
        ip daddr {{ {bridge.gateway}, 255.255.255.255 }} udp dport 67 accept
        icmp type echo-request accept
        drop
    }}
    chain outward {{
        {_lines(policy.rules())}
    }}
    chain forward {{
        type filter hook forward priority filter;
        iifname != "{name}" oifname != "{name}" accept
        ct state established,related accept
        iifname "{name}" oifname != "{name}" jump outward
        oifname != "{name}" accept
        ct status dnat accept
        drop
    }}
    chain arriving {{
        type nat hook prerouting priority dstnat;
        iifname "{name}" accept
        {forwards}
    }}
    chain from_here {{
        type nat hook output priority -100;
        {forwards}
    }}
    chain leaving {{
        type nat hook postrouting priority srcnat;
        oifname "{name}" ip saddr 127.0.0.0/8 masquerade
        oifname != "{name}" ip saddr {bridge.subnet} masquerade
    }}
}}
"""


def _bridged(bridge: Bridge, ports: Sequence[BridgePort]) -> str:
    """What VMs may send on the bridge itself: by their own addresses alone, and not to one another.

    In `leases` is where a DHCP message has its client's MAC address, 28 bytes into it (RFC 2131).
    """
    return f"""\
table bridge {table(bridge)} {{
    {_set("taps", "ifname", [f'"{port.tap}"' for port in ports])}
    {_set("macs", "ifname . ether_addr", [f'"{port.tap}" . {port.mac_address}' for port in ports])}
    {_set("addresses", "ifname . ipv4_addr", [f'"{port.tap}" . {port.address}' for port in ports])}
    chain leases {{
        {_lines(f'iifname "{port.tap}" @th,288,48 != 0x{port.mac_address.replace(":", "")} drop' for port in ports)}
    }}
    chain apart {{
        type filter hook forward priority filter;
        iifname @taps oifname @taps drop
    }}
    chain honest {{
        type filter hook prerouting priority -300;
        iifname != @taps accept
        iifname . ether saddr != @macs drop
        ether type ip udp dport 67 jump leases
        ether type arp iifname . arp saddr ether != @macs drop
        ether type arp iifname . arp saddr ip != @addresses drop
        ether type arp accept
        ether type ip ip daddr 255.255.255.255 udp sport 68 udp dport 67 accept
        ether type ip iifname . ip saddr != @addresses drop
        ether type ip accept
        drop
    }}
}}
"""


def _nothing(bridge: Bridge) -> str:
    """Declared first, as what is not there can't be deleted."""
    tables = [f"{family} {table(bridge)}" for family in ("inet", "bridge")]
    return "".join(f"table {each} {{}}\ndelete table {each}\n" for each in tables)


def _forwards(ports: Sequence[BridgePort], listen: str) -> list[str]:
    to = "fib daddr type local" if IPv4Address(listen).is_unspecified else f"ip daddr {listen}"
    return [
        f"{to} {forward.protocol} dport {forward.host_port} dnat ip to {port.address}:{forward.guest_port}"
        for port in ports
        for forward in port.forwards
    ]


def _lines(rules: Iterable[str]) -> str:
    return "\n        ".join(rules)


def _set(name: str, kind: str, elements: Sequence[str]) -> str:
    having = f" elements = {{ {', '.join(elements)} }};" if elements else ""
    return f"set {name} {{ type {kind};{having} }}"

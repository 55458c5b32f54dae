"""Compliance frameworks: their names, and the actions that each wants to see in the audit log."""

from __future__ import annotations

SOC2, HIPAA, PCI_DSS, ISO27001 = FRAMEWORKS = ("SOC2", "HIPAA", "PCI_DSS", "ISO27001")

# Who may enter (SOC2 CC6.1, HIPAA 164.312(d), PCI DSS 10.2.1.4 and 10.2.1.5, ISO 27001 A.5.16 and A.8.5).
_ACCESS = ("login", "user", "key", "access")
# What is read or changed inside a guest (HIPAA 164.312(b), PCI DSS 10.2.1.1).
_DATA = ("vm_execute", "exec", "vm_exec", "file", "vm_file", "console")
# How machines can be reached (PCI DSS 1.2 and 10.2.1.7).
_NETWORK = ("network", "port_forward", "vm_network")


def of_action(action_type: str, *, refused: bool = False) -> list[str]:
    """The frameworks whose rules on logging ask for a record of that action; all of them for one that was refused."""
    if refused or _begins(action_type, _ACCESS + _DATA) or action_type.startswith("security"):
        return list(FRAMEWORKS)
    if _begins(action_type, _NETWORK):
        return [SOC2, PCI_DSS, ISO27001]
    return [SOC2, ISO27001]


def _begins(action_type: str, words: tuple[str, ...]) -> bool:
    return any(action_type == word or action_type.startswith(f"{word}_") for word in words)

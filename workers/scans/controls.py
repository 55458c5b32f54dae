"""The controls of compliance frameworks that groups of checks are about.

SOC2: Trust Services Criteria 2017. HIPAA: 45 CFR 164. PCI DSS: version 4.0. ISO 27001: Annex A of 2022.
"""

from __future__ import annotations

from core.compliance import HIPAA, ISO27001, PCI_DSS, SOC2
from workers.scans.check import Controls

REMOTE_ACCESS: Controls = {
    SOC2: ("CC6.1", "CC6.6"),
    HIPAA: ("164.312(a)(1)", "164.312(d)"),
    PCI_DSS: ("2.2.6", "8.6.1"),
    ISO27001: ("A.8.5", "A.8.9"),
}
AUTHENTICATION: Controls = {
    SOC2: ("CC6.1",),
    HIPAA: ("164.308(a)(5)(ii)(D)", "164.312(d)"),
    PCI_DSS: ("8.3.1", "8.3.6"),
    ISO27001: ("A.5.17", "A.8.5"),
}
ACCOUNTS: Controls = {
    SOC2: ("CC6.1", "CC6.2"),
    HIPAA: ("164.312(a)(2)(i)",),
    PCI_DSS: ("8.2.1",),
    ISO27001: ("A.5.16",),
}
PRIVILEGE: Controls = {
    SOC2: ("CC6.3",),
    HIPAA: ("164.312(a)(1)",),
    PCI_DSS: ("7.2.1", "7.2.2"),
    ISO27001: ("A.8.2",),
}
FILE_ACCESS: Controls = {
    SOC2: ("CC6.1", "CC6.3"),
    HIPAA: ("164.312(a)(1)", "164.312(c)(1)"),
    PCI_DSS: ("7.2.1", "2.2.6"),
    ISO27001: ("A.8.3",),
}
CRYPTOGRAPHY: Controls = {
    SOC2: ("CC6.7",),
    HIPAA: ("164.312(e)(1)",),
    PCI_DSS: ("2.2.7", "4.2.1"),
    ISO27001: ("A.8.24",),
}
HARDENING: Controls = {
    SOC2: ("CC6.8", "CC7.1"),
    PCI_DSS: ("2.2.1", "2.2.6"),
    ISO27001: ("A.8.9",),
}
NETWORK: Controls = {
    SOC2: ("CC6.6",),
    HIPAA: ("164.312(e)(1)",),
    PCI_DSS: ("1.2.1", "2.2.4"),
    ISO27001: ("A.8.20", "A.8.21"),
}
LOGGING: Controls = {
    SOC2: ("CC7.2",),
    HIPAA: ("164.312(b)",),
    PCI_DSS: ("10.2.1", "10.3.3"),
    ISO27001: ("A.8.15",),
}
TIME: Controls = {
    SOC2: ("CC7.2",),
    PCI_DSS: ("10.6.1",),
    ISO27001: ("A.8.17",),
}
PATCHING: Controls = {
    SOC2: ("CC7.1",),
    HIPAA: ("164.308(a)(1)(ii)(B)", "164.308(a)(5)(ii)(B)"),
    PCI_DSS: ("6.3.3",),
    ISO27001: ("A.8.8",),
}
SOFTWARE: Controls = {
    SOC2: ("CC6.8",),
    HIPAA: ("164.308(a)(5)(ii)(B)",),
    PCI_DSS: ("6.3.2",),
    ISO27001: ("A.8.19",),
}

"""Checks of protection: firewall, clock, logs, confinement, automatic upgrades."""

from __future__ import annotations

from workers.scans.check import Family, Judge, ScanCheck
from workers.scans.controls import HARDENING, LOGGING, NETWORK, PATCHING, TIME

# Names of processes without starting one for each.
_PREPARE = """
PROCESSES=
for each in /proc/[0-9]*/comm; do
    read -r name < "$each" && PROCESSES="$PROCESSES $name"
done 2>/dev/null
running() {
    for name in "$@"; do case " $PROCESSES " in *" $name "*) echo "$name runs"; return;; esac; done
}
"""


def _something(missing: str) -> Judge:
    """There must be evidence."""
    return lambda text: [] if text.strip() else [missing]


FAMILY = Family(
    name="protection",
    category="configuration",
    prepare=_PREPARE,
    checks=(
        ScanCheck(
            "protection-firewall",
            "No firewall filters incoming traffic",
            "medium",
            "if command -v nft >/dev/null; then nft list ruleset | grep -m1 -E 'hook input'; fi\n"
            "if command -v iptables >/dev/null; then iptables -S INPUT 2>/dev/null |"
            " grep -m1 -E '^-A|^-P INPUT (DROP|REJECT)'; fi; true",
            _something("neither nftables nor iptables filters incoming traffic"),
            "Allow the needed traffic and drop the rest, with nftables, ufw or firewalld",
            NETWORK,
        ),
        ScanCheck(
            "protection-clock",
            "No time service keeps the clock",
            "medium",
            "running systemd-timesyn chronyd ntpd ntpd.service openntpd; true",
            _something("no time service runs"),
            "Install and start systemd-timesyncd or chrony",
            TIME,
        ),
        ScanCheck(
            "protection-logging",
            "No logging service runs",
            "high",
            "running systemd-journal rsyslogd syslog-ng syslogd; true",
            _something("neither journald nor a syslog daemon runs"),
            "Start systemd-journald or rsyslog",
            LOGGING,
        ),
        ScanCheck(
            "protection-log-kept",
            "Logs don't survive a restart",
            "low",
            "[ -d /var/log/journal ] && echo /var/log/journal; running rsyslogd syslog-ng; true",
            _something("the journal is in memory alone"),
            "mkdir /var/log/journal, or install rsyslog",
            LOGGING,
        ),
        ScanCheck(
            "protection-audit",
            "The kernel's audit daemon does not run",
            "low",
            "running auditd; true",
            _something("auditd does not run"),
            "Install and start auditd, with rules for what you must know",
            LOGGING,
        ),
        ScanCheck(
            "protection-confinement",
            "Neither AppArmor nor SELinux confines programs",
            "low",
            '[ -e /sys/fs/selinux/enforce ] && read -r on < /sys/fs/selinux/enforce && [ "$on" = 1 ] && echo SELinux\n'
            "[ -e /sys/module/apparmor/parameters/enabled ] && read -r on < /sys/module/apparmor/parameters/enabled &&"
            ' [ "$on" = Y ] && [ -s /sys/kernel/security/apparmor/profiles ] && echo AppArmor; true',
            _something("neither is in force"),
            "Install apparmor and its profiles, or enforce SELinux",
            HARDENING,
        ),
        ScanCheck(
            "protection-automatic-upgrades",
            "Security updates are not installed automatically",
            "medium",
            "if command -v apt-config >/dev/null; then\n"
            "    apt-config dump APT::Periodic::Unattended-Upgrade | grep -v '\"0\"'\n"
            "elif command -v dnf >/dev/null; then\n"
            "    systemctl is-enabled dnf-automatic.timer dnf-automatic-install.timer 2>/dev/null | grep enabled\n"
            "else cannot 'neither apt nor dnf is installed'; fi; true",
            _something("no automatic upgrades are configured"),
            "Install unattended-upgrades, or enable dnf-automatic.timer",
            PATCHING,
        ),
    ),
)

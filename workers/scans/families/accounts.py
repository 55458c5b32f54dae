"""Checks of accounts: who may log in or become root. No hash of a password leaves the guest."""

from __future__ import annotations

from workers.scans.check import Family, ScanCheck, offenders
from workers.scans.controls import ACCOUNTS, AUTHENTICATION, PRIVILEGE

_PREPARE = """
[ -r /etc/passwd ] && [ -r /etc/shadow ] || UNREADABLE=1
readable() { [ -z "$UNREADABLE" ] || cannot "/etc/passwd or /etc/shadow is missing"; }
"""

FAMILY = Family(
    name="accounts",
    category="configuration",
    prepare=_PREPARE,
    checks=(
        ScanCheck(
            "accounts-empty-password",
            "Accounts with an empty password",
            "critical",
            "readable; awk -F: '$2 == \"\" {print $1}' /etc/shadow",
            offenders,
            "Lock the accounts or give them passwords: passwd --lock NAME",
            AUTHENTICATION,
        ),
        ScanCheck(
            "accounts-weak-hash",
            "Passwords stored with a weak hash",
            "high",
            "readable; awk -F: '$2 ~ /^(\\$1\\$|[A-Za-z0-9.\\/])/ && $2 !~ /^\\$[2-9a-z]/ {print $1}' /etc/shadow",
            offenders,
            "Set ENCRYPT_METHOD YESCRYPT (or SHA512) in /etc/login.defs, and set the passwords again",
            AUTHENTICATION,
        ),
        ScanCheck(
            "accounts-second-root",
            "Accounts other than root with user id 0",
            "critical",
            "readable; awk -F: '$3 == 0 && $1 != \"root\" {print $1}' /etc/passwd",
            offenders,
            "Give these accounts other ids, and let them use sudo",
            ACCOUNTS,
        ),
        ScanCheck(
            "accounts-shared-id",
            "Accounts that share a name or a user id",
            "medium",
            'readable; awk -F: \'n[$1]++ {print "name " $1} u[$3]++ {print "id " $3 ": " $1}\' /etc/passwd',
            offenders,
            "Give each account a unique id and name",
            ACCOUNTS,
        ),
        ScanCheck(
            "accounts-system-shell",
            "Accounts of services with a shell",
            "medium",
            "readable; awk -F: '$3 > 0 && $3 < 1000 && $7 !~ /(nologin|false|sync|halt|shutdown)$/"
            ' {print $1 ": " $7}\' /etc/passwd',
            offenders,
            "usermod --shell /usr/sbin/nologin NAME",
            ACCOUNTS,
        ),
        ScanCheck(
            "accounts-legacy-entry",
            "Accounts from a '+' entry of NIS",
            "high",
            "readable; grep -n '^+' /etc/passwd /etc/shadow /etc/group; true",
            offenders,
            "Remove the lines that begin with '+'",
            ACCOUNTS,
        ),
        ScanCheck(
            "accounts-password-age",
            "Passwords that don't expire within a year",
            "medium",
            "readable; awk -F: '$2 ~ /^[$]/ && ($5 == \"\" || $5 > 365) {print $1}' /etc/shadow",
            offenders,
            "chage --maxdays 365 NAME, and PASS_MAX_DAYS 365 in /etc/login.defs",
            AUTHENTICATION,
        ),
        ScanCheck(
            "accounts-sudo-without-password",
            "sudo asks for no password",
            "medium",
            "[ -e /etc/sudoers ] || cannot 'sudo is not installed'\n"
            "grep -rhE '^[^#]*(NOPASSWD|!authenticate)' /etc/sudoers /etc/sudoers.d 2>/dev/null; true",
            offenders,
            "Take NOPASSWD and !authenticate out of /etc/sudoers and /etc/sudoers.d",
            PRIVILEGE,
        ),
        ScanCheck(
            "accounts-umask",
            "New files are readable by everyone by default (umask)",
            "low",
            "[ -r /etc/login.defs ] || cannot 'there is no /etc/login.defs'\n"
            "awk '$1 == \"UMASK\" && $2 !~ /[27]7$/ {print $1, $2}' /etc/login.defs",
            offenders,
            "Set UMASK 027 in /etc/login.defs",
            PRIVILEGE,
        ),
    ),
)

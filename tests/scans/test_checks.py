"""The checks as data: whole, and their judges right about what real systems print."""

from __future__ import annotations

import subprocess
from collections import Counter
from datetime import date

import pytest

from core import compliance
from core.services.scanning import results
from workers.scans import evidence
from workers.scans.check import CannotJudge, Family, ScanCheck, offenders
from workers.scans.families import FAMILIES, chosen, packages

CHECKS = {check.id: check for family in FAMILIES for check in family.checks}
_SS = 'tcp LISTEN 0 128 {} 0.0.0.0:* users:(("x",pid=1,fd=3))'


def test_every_check_is_whole() -> None:
    assert len(CHECKS) == sum(len(family.checks) for family in FAMILIES) >= 25
    for check in CHECKS.values():
        assert check.severity in results.SEVERITIES
        assert check.controls, check.id
        assert set(check.controls) <= set(compliance.FRAMEWORKS)
        assert all(check.controls.values())
        assert check.recommendation


def test_each_scan_has_its_checks() -> None:
    configuration, vulnerability = chosen("configuration", ()), chosen("vulnerability", ())
    assert len(configuration) + len(vulnerability) == len(FAMILIES)
    for framework in compliance.FRAMEWORKS:
        bearing = [check for family in chosen("compliance", (framework,)) for check in family.checks]
        assert {check.id for check in bearing} == {c.id for c in CHECKS.values() if framework in c.controls}


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        ("ssh-permitrootlogin", "permitrootlogin without-password", "permitrootlogin yes"),
        ("ssh-maxauthtries", "maxauthtries 4", "maxauthtries 6"),
        ("ssh-clientaliveinterval", "clientaliveinterval 300", "clientaliveinterval 0"),
        ("ssh-ciphers", "ciphers aes256-gcm@openssh.com", "ciphers aes256-ctr,aes128-cbc"),
        ("ssh-macs", "macs hmac-sha2-256", "macs hmac-sha2-256,hmac-sha1"),
        ("kernel-aslr", "kernel/randomize_va_space:2", "kernel/randomize_va_space:1"),
        ("kernel-bpf", "kernel/unprivileged_bpf_disabled:2", "kernel/unprivileged_bpf_disabled:0"),
        ("kernel-perf", "kernel/perf_event_paranoid:3", "kernel/perf_event_paranoid:-1"),
        ("kernel-rp-filter", "a:1\nb:2", "a:1\nb:0"),
        ("services-listening", _SS.format("0.0.0.0:22"), _SS.format("0.0.0.0:80")),
        ("services-listening", _SS.format("127.0.0.1:80"), _SS.format("[::]:80")),
        ("services-listening", _SS.format("[::1]:80"), _SS.format("192.168.1.2%eth0:80")),
        ("services-listening", "udp UNCONN 0 0 10.0.2.15%ens3:68 0.0.0.0:*", _SS.format("*:68")),
        ("services-clear-text", _SS.format("127.0.0.1:23"), _SS.format("0.0.0.0:23")),
        ("services-databases", _SS.format("[::1]:5432"), _SS.format("*:6379")),
        ("files-shadow", "640 root /etc/shadow\n600 root /etc/gshadow", "666 root /etc/shadow"),
        ("files-shadow", "0 root /etc/shadow", "640 ann /etc/shadow"),
        ("files-homes", "700 ann /home/ann", "755 ann /home/a b"),
        ("files-privileged", "4755 /usr/bin/sudo", "4755 /tmp/sudo2"),
        ("mounts-tmp", "tmpfs /tmp tmpfs rw,nosuid,nodev 0 0", "tmpfs /tmp tmpfs rw,nosuid 0 0"),
        ("mounts-tmp", "tmpfs /tmp tmpfs nodev,nosuid 0 0", "/dev/vda / ext4 rw 0 0"),
        ("protection-clock", "chronyd runs", ""),
        ("packages-kernel", "running 6.1.0-10\ninstalled 6.1.0-9", "running 6.1.0-9\ninstalled 6.1.0-10"),
        ("packages-lists", "0", "8"),
        (
            "packages-security-updates",
            "Inst base-files [1] (2 Debian:12.9/stable [amd64])",
            "Inst openssl [3.0.1] (3.0.2 Debian-Security:12/stable-security [amd64])",
        ),
    ],
)
def test_judges_tell_good_from_bad(check: str, good: str, bad: str) -> None:
    assert CHECKS[check].judge(good) == []
    assert CHECKS[check].judge(bad) != []


@pytest.mark.parametrize("check", sorted(id_ for id_ in CHECKS if id_.startswith(("ssh-", "kernel-"))))
def test_no_evidence_is_no_pass(check: str) -> None:
    with pytest.raises(CannotJudge):
        CHECKS[check].judge("")
    with pytest.raises(CannotJudge):
        CHECKS["files-shadow"].judge("stat: no")
    with pytest.raises(CannotJudge):
        CHECKS["packages-kernel"].judge("running 6.1")


def test_a_release_is_supported_until_its_day() -> None:
    centos = 'NAME="CentOS Stream"\nID=centos\nVERSION_ID="9"\n'
    assert packages.supported(centos, date(2027, 5, 31)) == []
    assert packages.supported(centos, date(2027, 6, 1)) != []
    assert packages.supported("ID=alpine\nVERSION_ID=3.22.1", date(2027, 1, 1)) == []
    with pytest.raises(CannotJudge):
        packages.supported("ID=arch")


def _family(*gather: str) -> Family:
    checks = tuple(
        ScanCheck(f"c{number}", "weak", "low" if number else "high", text, offenders, "mend it", {"SOC2": ("CC1",)})
        for number, text in enumerate(gather)
    )
    return Family("odd", "configuration", checks, prepare="SHARED=yes\n")


def _ran(family: Family, shell: str = "sh") -> list[tuple[str, str]]:
    """A family whose checks are harmless, run here."""
    done = subprocess.run(
        [shell, "-s"], input=evidence.script(family, "mark"), capture_output=True, text=True, timeout=20, check=False
    )
    return [(each["status"], each["evidence"]) for each in evidence.outcomes(family, "mark", done.stdout)]


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_each_check_stands_alone(shell: str) -> None:
    family = _family("echo found", "echo found", "true", "cannot 'not here'", "exit 7", "nosuch", "cat", "echo $SHARED")
    assert _ran(family, shell) == [
        ("failed", "found"),
        ("warning", "found"),
        ("passed", ""),
        ("not_run", "not here"),
        ("not_run", "its commands failed (exit code 7):"),
        ("not_run", _ran(family, shell)[5][1]),
        ("passed", ""),
        ("warning", "yes"),
    ]


def test_what_the_shell_did_not_reach_has_not_passed() -> None:
    assert [status for status, _ in _ran(_family("true", "kill -9 $$", "true"))] == ["passed", "not_run", "not_run"]


def test_evidence_is_bounded_and_storable() -> None:
    (outcome,) = evidence.outcomes(_family("x"), "mark", "\0" + "x" * 100_000 + "\nmark c0 0\n")
    assert len(outcome["evidence"]) < 3000
    assert "\0" not in outcome["evidence"]


_WORDS = ("²", "-", "9" * 5000, "running", "installed", "a:²", "²:²", "x y z", '"' * 3)


@pytest.mark.parametrize("check", CHECKS)
def test_no_evidence_of_a_guest_s_making_stops_a_scan(check: str) -> None:
    family = next(family for family in FAMILIES if CHECKS[check] in family.checks)
    lines = [f"{' '.join([word] * 7)}\n{word} root" for word in _WORDS]
    for text in (*_WORDS, *lines, f"ID=debian\nVERSION_ID={'9' * 5000}"):
        told = evidence.outcomes(family, "mark", f"{text}\nmark {check} 0\n")
        assert len(told) == len(family.checks)


def test_every_familys_script_is_shell() -> None:
    for family in FAMILIES:
        for shell in ("sh", "bash"):
            subprocess.run([shell, "-n"], input=evidence.script(family, "m"), text=True, timeout=20, check=True)


def _outcome(status: str, severity: str) -> dict[str, object]:
    return {"status": status, "severity": severity}


def test_the_score_grows_with_what_is_found_and_stays_below_a_hundred() -> None:
    def score(findings: Counter[str]) -> int:
        return results.risk_score([_outcome("failed", severity) for severity in findings.elements()])

    assert score(Counter()) == 0
    unknown = [_outcome("not_run", "critical"), _outcome("passed", "critical")]
    assert results.risk_score(unknown) == 40  # not to know makes nothing safer
    assert results.risk_score(unknown, (results.FAILED,)) == 0
    assert [score(Counter({severity: 1})) for severity in results.SEVERITIES] == [40, 15, 5, 1]
    assert score(Counter(critical=1, high=1)) == 49
    assert score(Counter(critical=3, high=5)) <= 100


@pytest.mark.parametrize(
    ("release", "on", "found"),
    [
        ("debian 8", date(2026, 12, 1), True),
        ("debian 6", date(2026, 12, 1), True),
        ("ubuntu 12.10", date(2026, 12, 1), True),
        ("alpine 3.9.6", date(2026, 12, 1), True),
        ("debian 13", date(2026, 12, 1), False),
        ("debian 14", date(2026, 12, 1), None),
        ("nonesuch 1", date(2026, 12, 1), None),
        ("debian 13", date(2028, 1, 1), None),
        ("debian 9", date(2028, 1, 1), True),
    ],
)
def test_a_release_of_the_past_is_a_finding_and_an_old_table_proves_nothing(
    release: str, on: date, found: bool | None
) -> None:
    name, version = release.split()
    text = f'ID={name}\nVERSION_ID="{version}"\n'
    if found is None:
        with pytest.raises(CannotJudge, match=str(packages.ENDS_AS_OF)):
            packages.supported(text, on)
    else:
        assert bool(packages.supported(text, on)) is found

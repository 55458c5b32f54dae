"""The evidence of a family of checks: one script, and its output, parsed."""

from __future__ import annotations

import re

from core.contract.messages import JSON
from core.services.scanning.results import FAILED, NOT_RUN, PASSED, WARNING
from workers.scans.check import CannotJudge, Family, ScanCheck

LONGEST = 2000
_CANNOT = 99
_BEGIN = """LC_ALL=C; export LC_ALL
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin; export PATH
exec </dev/null
cannot() { echo "$*"; exit 99; }
"""


def script(family: Family, mark: str) -> str:
    """Each check in a shell of its own; then `mark`, its id and how that shell ended, on a line."""
    parts = [f"(\n{check.gather}\n) 2>&1; printf '\\n%s %s %d\\n' {mark} {check.id} $?\n" for check in family.checks]
    # In braces it is read whole before any of it runs: what runs gets no part of the script as its input.
    return f"{{\n{_BEGIN}{family.prepare}\n{''.join(parts)}exit 0\n}}\n"


def outcomes(family: Family, mark: str, output: str) -> list[JSON]:
    """What is to be kept of each check, given what the script printed."""
    told: dict[str, tuple[str, int]] = {}
    begin = 0
    for match in re.finditer(rf"^{re.escape(mark)} (\S+) (\d+)$", output, re.MULTILINE):
        told[match[1]] = (output[begin : match.start()].strip("\n"), int(match[2]))
        begin = match.end()
    return [_judged(family, check, told.get(check.id)) for check in family.checks]


def not_run(family: Family, reason: str) -> list[JSON]:
    """None of them could be made."""
    return [_outcome(family, check, NOT_RUN, reason) for check in family.checks]


def _judged(family: Family, check: ScanCheck, told: tuple[str, int] | None) -> JSON:
    if told is None:
        return _outcome(family, check, NOT_RUN, "the guest's shell ended before this check")
    text, code = told
    if code == _CANNOT:
        return _outcome(family, check, NOT_RUN, text)
    if code != 0:
        return _outcome(family, check, NOT_RUN, f"its commands failed (exit code {code}): {text}")
    try:
        wrong = check.judge(text)
    except CannotJudge as error:
        return _outcome(family, check, NOT_RUN, str(error))
    except (LookupError, ValueError):  # it is a guest's word, and may be anything
        return _outcome(family, check, NOT_RUN, f"its evidence can't be understood: {text}")
    if not wrong:
        return _outcome(family, check, PASSED, "")
    return _outcome(family, check, WARNING if check.severity == "low" else FAILED, "\n".join(wrong))


def _outcome(family: Family, check: ScanCheck, status: str, evidence: str) -> JSON:
    return {
        "check_id": check.id,
        "family": family.name,
        "category": family.category,
        "severity": check.severity,
        "status": status,
        "description": check.title,
        "recommendation": check.recommendation,
        "evidence": _clean(evidence),
        "controls": {framework: list(controls) for framework, controls in check.controls.items()},
    }


def _clean(text: str) -> str:
    """As PostgreSQL can hold it, and not at any length."""
    clean = text.replace("\0", "").strip()
    return clean if len(clean) <= LONGEST else f"{clean[:LONGEST]} …"

"""Pure: the result of a scan, from the outcomes of its checks.

An outcome is what a worker keeps of one check on one VM: {"check_id", "family", "category", "severity",
"status": "passed" | "failed" | "warning" | "not_run", "description", "recommendation", "evidence", "controls"}.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

from core.models import ScannedVm, ScanState
from core.models.base import JSON

SEVERITIES = ("critical", "high", "medium", "low")
PASSED, FAILED, WARNING, NOT_RUN = STATUSES = ("passed", "failed", "warning", "not_run")
# The share of what is left of safety that one finding takes away.
_WEIGHTS = {"critical": 0.4, "high": 0.15, "medium": 0.05, "low": 0.01}
_WORST = (FAILED, WARNING, NOT_RUN, PASSED)


COMPLETE, PARTIAL, UNKNOWN = ASSESSMENTS = ("complete", "partial", "unknown")


def risk_score(outcomes: Iterable[JSON], counted: Sequence[str] = (FAILED, WARNING, NOT_RUN)) -> int:
    """0 for a VM of which nothing bad is known or can be, towards 100: each takes its share of what others have left.

    What could not be looked at counts as if it were found: not to know of a weakness makes nothing safer.
    """
    findings = [each for each in outcomes if each["status"] in counted]
    return round(100 * (1 - math.prod(1 - _WEIGHTS[each["severity"]] for each in findings)))


def results(scanned: Sequence[ScannedVm], frameworks: Sequence[str]) -> JSON:
    """All VMs together; the scores are those of the one at most risk, None while nothing at all was looked at."""
    every = [(each.vm_name, outcome) for each in scanned for outcome in each.outcomes]
    counts = Counter(outcome["status"] for _, outcome in every)
    findings = [_finding(name, outcome) for name, outcome in every if outcome["status"] in (FAILED, WARNING)]
    looked = [each.outcomes for each in scanned if each.outcomes]
    return {
        "total_checks": len(every),
        "passed": counts[PASSED],
        "failed": counts[FAILED],
        "warnings": counts[WARNING],
        "not_run": counts[NOT_RUN],
        "assessment": _assessment(scanned, counts),
        "risk_score": max(map(risk_score, looked), default=None),
        "risk_score_of_findings": max((risk_score(each, (FAILED, WARNING)) for each in looked), default=None),
        "findings": sorted(findings, key=lambda finding: SEVERITIES.index(finding["severity"])),
        "checks_not_run": [_not_run(name, outcome) for name, outcome in every if outcome["status"] == NOT_RUN],
        "frameworks": {name: _summary(name, [outcome for _, outcome in every]) for name in frameworks},
    }


def _assessment(scanned: Sequence[ScannedVm], counts: Counter[str]) -> str:
    """How much of what was to be looked at has been: `PARTIAL` also while the scan goes on."""
    if counts.total() == counts[NOT_RUN]:
        return UNKNOWN
    whole = not counts[NOT_RUN] and all(each.state == ScanState.COMPLETED for each in scanned)
    return COMPLETE if whole else PARTIAL


def _finding(vm_name: str, outcome: JSON) -> JSON:
    told = ("check_id", "status", "severity", "category", "family", "description", "recommendation", "evidence")
    return {name: outcome[name] for name in (*told, "controls")} | {"affected_resource": vm_name}


def _not_run(vm_name: str, outcome: JSON) -> JSON:
    told = {name: outcome[name] for name in ("check_id", "description", "family", "controls")}
    return told | {"reason": outcome["evidence"], "affected_resource": vm_name}


def _summary(framework: str, outcomes: Sequence[JSON]) -> JSON:
    """Of the checks that bear on one framework, and for each of its controls the worst that was seen."""
    bearing = [each for each in outcomes if framework in each["controls"]]
    counts = Counter(each["status"] for each in bearing)
    controls: dict[str, str] = {}
    for each in bearing:
        for control in each["controls"][framework]:
            controls[control] = min(controls.get(control, PASSED), each["status"], key=_WORST.index)
    return {
        "checks": len(bearing),
        "passed": counts[PASSED],
        "failed": counts[FAILED],
        "warnings": counts[WARNING],
        "not_run": counts[NOT_RUN],
        "controls": dict(sorted(controls.items())),
    }

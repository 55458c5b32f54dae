"""/security/scan and /security/scans: searches for weaknesses inside guests."""

from __future__ import annotations

from flask.views import MethodView
from marshmallow import Schema, fields
from sqlalchemy.orm import Session

from api.rest.blueprint import Blueprint
from api.rest.fields import ChoiceField, Length, MomentField, TextField
from api.rest.schemas import SortingSchema, StrictSchema
from api.rest.shapes import ResultPage, Shape
from api.shared.words import VM_NAME
from core import compliance
from core.contract.messages import JSON
from core.models import Scan, ScannedVm, ScanState
from core.services.context import Actor
from core.services.paging import Slice
from core.services.scanning import results, scans


class ScanQuerySchema(SortingSchema):
    """Which part of the scans."""

    sort = ChoiceField(*scans.ORDERING.sorts)


class ScanCreationSchema(StrictSchema):
    """What to look for, in one VM or in `all` of yours. Without `frameworks` a compliance scan is for all of them."""

    scan_type = ChoiceField(*scans.TYPES, required=True)
    target = TextField(required=True, longest=63, validate=VM_NAME)
    frameworks = fields.List(ChoiceField(*compliance.FRAMEWORKS), load_default=list, validate=Length(max=20))


class ScanBegunSchema(Schema):
    """A scan that was accepted."""

    scan_id = fields.String(required=True)
    status = ChoiceField(*scans.STATES, required=True)
    started_at = MomentField(required=True)
    estimated_completion = MomentField(required=True)


class ScanBriefSchema(ScanBegunSchema):
    """A scan in a list."""

    scan_type = ChoiceField(*scans.TYPES, required=True)
    target = fields.String(required=True)
    frameworks = fields.List(fields.String(), required=True)
    completed_at = MomentField(required=True, allow_none=True)


class FindingSchema(Schema):
    """A weakness that one check found in one VM. `warning`: one of low severity."""

    check_id = fields.String(required=True)
    status = ChoiceField(results.FAILED, results.WARNING, required=True)
    severity = ChoiceField(*results.SEVERITIES, required=True)
    category = fields.String(required=True)
    family = fields.String(required=True)
    description = fields.String(required=True)
    recommendation = fields.String(required=True)
    affected_resource = fields.String(required=True)
    evidence = fields.String(required=True)
    controls = fields.Dict(
        required=True, metadata={"description": "the controls that the finding concerns, by framework"}
    )


class CheckNotRunSchema(Schema):
    """A check that could not be made in one VM, and why: it has not passed."""

    check_id = fields.String(required=True)
    description = fields.String(required=True)
    family = fields.String(required=True)
    affected_resource = fields.String(required=True)
    reason = fields.String(required=True)
    controls = fields.Dict(required=True)


class ResultsSchema(Schema):
    """What was found so far. `risk_score`: 0 for no finding, towards 100; of several VMs the highest.

    A check that could not be made counts in it as a finding, for what is not known makes nothing safer; in
    `risk_score_of_findings` it does not. Both are null where nothing at all was looked at. `assessment`: complete;
    partial where checks could not be made, VMs were skipped, or the scan goes on; unknown where no check was made.
    """

    total_checks = fields.Integer(required=True)
    passed = fields.Integer(required=True)
    failed = fields.Integer(required=True)
    warnings = fields.Integer(required=True)
    not_run = fields.Integer(required=True)
    assessment = ChoiceField(*results.ASSESSMENTS, required=True)
    risk_score = fields.Integer(required=True, allow_none=True)
    risk_score_of_findings = fields.Integer(required=True, allow_none=True)
    findings = fields.List(fields.Nested(FindingSchema), required=True)
    checks_not_run = fields.List(fields.Nested(CheckNotRunSchema), required=True)
    frameworks = fields.Dict(required=True, metadata={"description": "results of checks and controls, by framework"})


class ScannedVmSchema(Schema):
    """How far one VM's scan is; `reason`: why it was skipped, cancelled or failed, or what it waits for."""

    vm_id = fields.String(required=True)
    vm_name = fields.String(required=True)
    status = ChoiceField(*ScanState, required=True, attribute="state")
    progress_percent = fields.Integer(required=True, attribute="percent")
    reason = fields.String(required=True, allow_none=True)


class ScanSchema(ScanBriefSchema):
    """A scan with what it found."""

    progress_percent = fields.Integer(required=True)
    vms = fields.List(fields.Nested(ScannedVmSchema), required=True)
    results = fields.Nested(ResultsSchema, required=True)


def blueprint(shape: Shape) -> Blueprint:
    """The resources, in a dialect."""
    blp = Blueprint("scans", shape, "Security scans")

    @blp.route("/security/scan")
    class ScanCreationView(MethodView):
        @blp.body(ScanCreationSchema)
        @blp.write(202, ScanBegunSchema)
        def post(self, session: Session, actor: Actor, body: JSON) -> JSON:
            """Initiate a security scan of a VM by its name, or of all your VMs."""
            scan = scans.start(session, actor, **body)
            return _brief(scan, scans.STARTED if scan.completed_at is None else scans.COMPLETED)

    @blp.route("/security/scans")
    class ScansView(MethodView):
        @blp.query(ScanQuerySchema)
        @blp.read_many("scans", ScanBriefSchema)
        def get(self, session: Session, actor: Actor, query: JSON) -> ResultPage:
            """List security scans, newest first."""
            found, total = scans.list_of(session, actor, Slice(**query))
            return ResultPage([_brief(scan, state) for scan, state in found], total, query["limit"], query["offset"])

    @blp.route("/security/scans/<scan_id>")
    class ScanView(MethodView):
        @blp.read_one(ScanSchema)
        def get(self, session: Session, actor: Actor, scan_id: str) -> JSON:
            """Get the results of a security scan, also while it runs."""
            return _whole(*scans.get(session, actor, scan_id))

    return blp


def _brief(scan: Scan, state: str) -> JSON:
    return {
        "scan_id": scan.id,
        "status": state,
        "started_at": scan.started_at,
        "estimated_completion": scan.estimated_completion,
        "scan_type": scan.scan_type,
        "target": scan.target,
        "frameworks": scan.frameworks,
        "completed_at": scan.completed_at,
    }


def _whole(scan: Scan, scanned: list[ScannedVm]) -> JSON:
    done = [100 if each.ended_at else each.percent for each in scanned]
    return _brief(scan, scans.state_of({each.state for each in scanned})) | {
        "progress_percent": sum(done) // len(done) if done else 100,
        "vms": scanned,
        "results": results.results(scanned, scan.frameworks),
    }

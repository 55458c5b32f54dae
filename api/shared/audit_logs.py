"""/security/audit-logs: the audit log."""

from __future__ import annotations

from flask.views import MethodView
from marshmallow import Schema, fields
from sqlalchemy.orm import Session

from api.rest.blueprint import Blueprint
from api.rest.fields import ChoiceField, MomentField, NumberField, TextField, computed
from api.rest.schemas import SortingSchema
from api.rest.shapes import ResultPage, Shape
from api.web.views import mark
from core import compliance
from core.contract.messages import JSON
from core.models import AuditEntry
from core.services.audit import records
from core.services.context import Actor


class AuditQuerySchema(SortingSchema):
    """The query of the audit log: from `start_time` to before `end_time`, of one action, resource type or user."""

    sort = ChoiceField(*records.ORDERING.sorts)
    start_time = MomentField()
    end_time = MomentField()
    action_type = TextField(longest=100)
    resource_type = TextField(longest=100)
    user_id = TextField(longest=100)
    limit = NumberField(1, 100, strict=False, load_default=100, metadata={"description": "maximum number of results"})


def _frameworks(entry: AuditEntry) -> list[str]:
    return compliance.of_action(entry.action_type, refused=entry.status_code in (401, 403))


class AuditEntrySchema(Schema):
    """An entry. `result`: success, accepted (an operation goes on; a failure is a later entry), refused or failed."""

    id = fields.Integer(required=True, attribute="seq")
    timestamp = MomentField(required=True, attribute="at")
    action_type = fields.String(required=True)
    resource_type = fields.String(required=True)
    resource_id = fields.String(required=True)
    user_id = fields.String(required=True, allow_none=True)
    username = fields.String(required=True, allow_none=True)
    key_id = fields.String(required=True, allow_none=True)
    source_ip = fields.String(required=True, allow_none=True)
    request_id = fields.String(required=True)
    result = ChoiceField(*records.RESULTS, required=True)
    status_code = fields.Integer(required=True, allow_none=True)
    error_code = fields.String(required=True, allow_none=True)
    details = fields.Dict(required=True)
    compliance_frameworks = computed(fields.List, _frameworks, cls_or_instance=fields.String())


def blueprint(shape: Shape) -> Blueprint:
    """The resource, in a dialect."""
    blp = Blueprint("audit_logs", shape, "The audit log")

    @blp.route("/security/audit-logs")
    class AuditLogsView(MethodView):
        @blp.query(AuditQuerySchema)
        @blp.read_many("logs", AuditEntrySchema)
        @mark("admin")
        def get(self, session: Session, actor: Actor, query: JSON) -> ResultPage:
            """Get audit logs, newest first, for administrators."""
            found, total = records.list_of(session, actor, records.AuditFilter(**query))
            return ResultPage(found, total, query["limit"], query["offset"])

    return blp

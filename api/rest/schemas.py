"""Schemas that all resources share, and their names in the OpenAPI documents."""

from __future__ import annotations

from typing import Any

from marshmallow import RAISE, Schema, fields

from api.rest.fields import ChoiceField, MomentField, NumberField, computed
from core.contract.states import HostKind, Kind, OperationState

MOST_OF_ALL = 1000  # more in one answer would keep a process from all its other requests and sockets


class StrictSchema(Schema):
    """A body: what it does not know is an error."""

    class Meta:
        unknown = RAISE

    error_messages = {"unknown": "is not a known field", "type": "must be a JSON object"}


class EmptySchema(StrictSchema):
    """A body with nothing in it."""


class PagingSchema(Schema):
    """The query of a list: which part of it."""

    limit = NumberField(1, 100, strict=False, load_default=50, metadata={"description": "maximum number of results"})
    offset = NumberField(0, 2**31 - 1, strict=False, load_default=0, metadata={"description": "results to skip"})


class SortingSchema(PagingSchema):
    """The query of a list with an order; each list says in `sort` what it can be sorted by."""

    order = ChoiceField("asc", "desc")


class SortingAllSchema(SortingSchema):
    """The same for a list that its document gives whole: without a limit it is, up to a bound; `total` tells."""

    limit = NumberField(
        1, 100, strict=False, load_default=MOST_OF_ALL, metadata={"description": "maximum number of results"}
    )


def schema_name(schema: Schema | type[Schema]) -> str:
    """How an OpenAPI document names a schema: by its class, without the dialect and without `Schema`."""
    name = (schema if isinstance(schema, type) else type(schema)).__name__
    return name.removeprefix("Microvm").removeprefix("Vboxmcp").removesuffix("Schema")


def named(name: str, members: dict[str, Any]) -> type[Schema]:
    """A schema made on the fly, by the name that the OpenAPI document shows."""
    return type(name, (Schema,), members)


def constant(value: str | int) -> fields.Constant[str | int]:
    """A field that always says the same."""
    kind = "string" if isinstance(value, str) else "integer"
    return fields.Constant(value, required=True, metadata={"type": kind, "enum": [value]})


class FailureSchema(Schema):
    """The failure of an operation."""

    code = fields.String(required=True)
    message = fields.String(required=True)
    retryable = fields.Boolean(required=True)
    details = fields.Dict(required=True)


_RESULT = (
    "what the host reported on success, such as `visible_to_guest` of an attached disk; for a drain, from its start, "
    "`vms`: each VM with its `outcome` so far and its `error`; for a move, `old_host`, `new_host` and the "
    "`start_operation_id` that starts the VM again"
)
_OF_NONE = "empty for an operation of a host, such as a drain"


class OperationSchema(Schema):
    """An operation: something that was accepted and takes its time."""

    id = fields.String(required=True)
    kind = ChoiceField(*Kind, *HostKind, required=True)
    state = ChoiceField(*OperationState, required=True)
    vm_id = computed(fields.String, lambda operation: operation.vm_id or "", metadata={"description": _OF_NONE})
    vm_name = fields.String(required=True, metadata={"description": _OF_NONE})
    host = fields.String(required=True, attribute="host_name")
    progress = fields.Dict(
        required=True, allow_none=True, metadata={"description": "percent done (or null) and current step"}
    )
    result = fields.Dict(required=True, allow_none=True, metadata={"description": _RESULT})
    error = fields.Nested(FailureSchema, required=True, allow_none=True)
    attempt = fields.Integer(required=True, metadata={"description": "how many times the command was sent to the host"})
    request_id = fields.String(required=True)
    cancel_requested_at = MomentField(required=True, allow_none=True)
    accepted_at = MomentField(required=True)
    begun_at = MomentField(required=True, allow_none=True)
    ended_at = MomentField(required=True, allow_none=True)
    deadline_at = MomentField(required=True)

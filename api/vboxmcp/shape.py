"""The shape of vboxmcp answers: everything under `data`, beside a `status`."""

from __future__ import annotations

from functools import cache
from typing import Any

from marshmallow import Schema, fields

from api.rest.schemas import constant, named, schema_name
from api.rest.shapes import ResultPage, Shape
from api.vboxmcp import errors
from core.contract.messages import JSON


@cache
def _one_schema(schema: type[Schema]) -> type[Schema]:
    members = {"status": constant("success"), "data": fields.Nested(schema, required=True)}
    return named(f"{schema_name(schema)}Answer", members)


def _one(dumped: Any) -> JSON:
    return {"status": "success", "data": dumped}


@cache
def _many_schema(noun: str, schema: type[Schema]) -> type[Schema]:
    members = {
        "status": constant("success"),
        "data": fields.List(fields.Nested(schema), required=True),
        "total": fields.Integer(required=True),
        "limit": fields.Integer(required=True, allow_none=True),
        "offset": fields.Integer(required=True),
    }
    return named(f"{noun.capitalize()}Answer", members)


def _many(_noun: str, listed: ResultPage) -> JSON:
    return {
        "status": "success",
        "data": listed.items,
        "total": listed.total,
        "limit": listed.limit,
        "offset": listed.offset,
    }


SHAPE = Shape(
    name="vboxmcp",
    title="Corral: VirtualBox MCP API",
    description="Virtual machines over a fleet of hosts. Send `X-API-Key: <key>` with every request.",
    challenge='ApiKey realm="corral"',
    security={"key": {"type": "apiKey", "in": "header", "name": "X-API-Key"}},
    invalid_status=400,
    error=errors.problem,
    error_schema=errors.schema,
    one_schema=_one_schema,
    one=_one,
    many_schema=_many_schema,
    many=_many,
)

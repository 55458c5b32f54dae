"""The shape of microvm answers: bare objects, and lists under their noun."""

from __future__ import annotations

from functools import cache
from typing import Any

from marshmallow import Schema, fields

from api.microvm import errors
from api.rest.schemas import named
from api.rest.shapes import ResultPage, Shape
from core.contract.messages import JSON


def _one_schema(schema: type[Schema]) -> type[Schema]:
    return schema


def _one(dumped: Any) -> Any:
    return dumped


@cache
def _many_schema(noun: str, schema: type[Schema]) -> type[Schema]:
    members = {
        noun: fields.List(fields.Nested(schema), required=True),
        "total": fields.Integer(required=True),
        "limit": fields.Integer(required=True, allow_none=True),
        "offset": fields.Integer(required=True),
    }
    return named(f"{noun.capitalize()}Page", members)


def _many(noun: str, listed: ResultPage) -> JSON:
    return {noun: listed.items, "total": listed.total, "limit": listed.limit, "offset": listed.offset}


SHAPE = Shape(
    name="microvm",
    title="Corral: MicroVM Sandbox API",
    description="Virtual machines over a fleet of hosts. Log in, then send `Authorization: Bearer <token>`.",
    challenge='Bearer realm="corral"',
    security={"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
    invalid_status=422,
    error=errors.problem,
    error_schema=errors.schema,
    one_schema=_one_schema,
    one=_one,
    many_schema=_many_schema,
    many=_many,
)

"""The shape of a dialect: all that differs between the dialects' answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from marshmallow import Schema

from core.contract.errors import CorralError
from core.contract.messages import JSON


@dataclass(frozen=True)
class ResultPage:
    """Part of a list, and how long the whole is."""

    items: Sequence[Any]
    total: int
    limit: int | None
    offset: int


@dataclass(frozen=True)
class Problem:
    """An error as a dialect answers it."""

    status: int
    body: JSON


@dataclass(frozen=True)
class Shape:
    """A dialect: how it wraps what it answers, and what it says when something is wrong."""

    name: str
    title: str
    description: str
    challenge: str
    """The `WWW-Authenticate` of its 401."""
    security: JSON
    """Its OpenAPI security scheme."""
    invalid_status: int
    """The status for a body or query that is not what the document says."""
    error: Callable[[CorralError, str], Problem]
    """(error, request id) → answer."""
    error_schema: Callable[[int], type[Schema] | JSON]
    """The schema of an error's body by its status, or an OpenAPI object that holds several."""
    one_schema: Callable[[type[Schema]], type[Schema]]
    """The schema of an answer with one thing of that schema."""
    one: Callable[[Any], Any]
    """The thing, already dumped, as `one_schema` has it."""
    many_schema: Callable[[str, type[Schema]], type[Schema]]
    many: Callable[[str, ResultPage], Any]
    """(noun, part of a list, already dumped) as `many_schema` has it."""

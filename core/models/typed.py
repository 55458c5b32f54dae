"""Columns of JSON that are values of the contract: read back through the type that they were written as."""

from __future__ import annotations

import logging
from typing import Any, Generic, TypeVar

import msgspec
from sqlalchemy import Dialect, types
from sqlalchemy.dialects.postgresql import JSONB

from core.contract.errors import Invalid
from core.contract.messages import build

log = logging.getLogger(__name__)
T = TypeVar("T")


class Typed(types.TypeDecorator[T], Generic[T]):
    """A value of that type as JSONB. What can't be read any more is the type's own default, and is logged: one odd row
    must not hide the others."""

    impl = JSONB
    cache_ok = True

    def __init__(self, kind: type[T]) -> None:
        super().__init__()
        self.kind = kind

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        """As plain data."""
        return None if value is None else msgspec.to_builtins(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> T | None:
        """As the value that it is."""
        try:
            return None if value is None else build(self.kind, value)
        except Invalid as error:
            log.warning("a stored row can't be read: %s", error.message)
            return self.kind()

    def coerce_compared_value(self, op: Any, value: Any) -> Any:
        """What is compared is a part of it, such as `Vm.network["ip"]`."""
        return self.impl_instance.coerce_compared_value(op, value)

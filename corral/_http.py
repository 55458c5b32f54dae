"""The common part of both clients, without I/O: addresses, retries, and how answers become values or errors."""

from __future__ import annotations

import random
import threading
import uuid
from collections.abc import Callable, Hashable, Mapping
from functools import cache
from typing import IO, Any, TypeVar, cast
from urllib.parse import quote

import msgspec

from corral import errors
from corral.errors import ApiError, CorralError, OperationFailed
from corral.models import Operation

T = TypeVar("T")
_FIRST = threading.Lock()
Json = dict[str, Any]

PREFIX = "/api/v1"
ATTEMPTS = 5
"""How often a request is sent at most, when no answer comes or the fleet is busy."""
LONGEST_PAUSE = 20.0
HELD_SECONDS = 30
"""For how long one request waits for an operation; the next one goes on waiting."""
PAGE = 100
FOLLOWING = 1000


class CountedFile:
    """A file that tells how many bytes were read of it, each time."""

    def __init__(self, file: IO[bytes], tell: Callable[[int], object]) -> None:
        self._file, self._tell = file, tell

    def read(self, size: int = -1) -> bytes:
        """As the file's own."""
        piece = self._file.read(size)
        self._tell(len(piece))
        return piece

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def segment(text: str | int) -> str:
    """One part of a path, whatever is in it."""
    return quote(str(text), safe="")


def vm_path(vm: str) -> str:
    """The path of a VM, by its name or id."""
    return f"/vms/{segment(vm)}"


def new_key() -> str:
    """An `Idempotency-Key`: the same request sent again does its work once."""
    return uuid.uuid4().hex


def given(**values: Any) -> Json:
    """Those that are not None."""
    return {name: value for name, value in values.items() if value is not None}


def pause(attempt: int, retry_after: str | None = None) -> float:
    """Seconds before the next attempt: what the server asked for, else twice the last pause, with some chance in it."""
    if retry_after is not None and retry_after.strip().isdigit():
        return min(float(retry_after), LONGEST_PAUSE)
    longest: float = min(0.25 * 2**attempt, LONGEST_PAUSE)
    return longest * random.uniform(0.5, 1.0)


def may_repeat(status: int, method: str, *, keyed: bool) -> bool:
    """Whether a request with that answer may be sent again without its work being done twice."""
    return status == 429 or (status == 503 and (keyed or method == "GET"))


def failure(status: int, content: bytes, reason: str, headers: Mapping[str, str]) -> ApiError:
    """The error of a refusal."""
    try:
        body: Any = msgspec.json.decode(content)
    except (ValueError, RecursionError):
        body = None
    return errors.from_answer(status, body, reason, headers.get("x-request-id", ""))


def value(kind: type[T], data: Any) -> T:
    """A model from an answer's data."""
    _make_known(cast(Hashable, kind))
    try:
        return msgspec.convert(data, kind)
    except (msgspec.ValidationError, RecursionError) as error:
        raise CorralError(
            f"the server's answer can't be understood ({kind.__name__}: {error}); is it a Corral API?"
        ) from None


@cache
def _make_known(kind: Hashable) -> None:
    """By one thread alone: msgspec 0.22 ends the process where two meet a type for the first time at once."""
    with _FIRST:
        msgspec.json.Decoder(kind)


def succeeded(operation: Operation) -> Operation:
    """The operation, if it did; else `OperationFailed` with its reason."""
    if operation.state == "succeeded":
        return operation
    reason = operation.error
    message = reason.message if reason else "no reason was given"
    raise OperationFailed(
        operation.id,
        f"{operation.kind} of {operation.subject} {operation.state}: {message}",
        reason.code if reason else "",
        retryable=bool(reason and reason.retryable),
    )

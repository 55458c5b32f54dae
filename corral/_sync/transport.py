# Made from corral/_async/transport.py by scripts/unasync.py; change that file instead.
"""Sends requests to one fleet as one caller: retries, tokens, errors, and waiting for operations."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx2
import msgspec

from corral import _http
from corral._http import Json, given, value
from corral.access import Access
from corral.errors import ApiError, Unauthenticated, Unreachable, WaitTimeout
from corral.models import Operation

T = TypeVar("T")
Tell = Callable[[Operation], None]


class Transport:
    """One connection pool. Safe to share between tasks or threads."""

    def __init__(self, access: Access, timeout: float = 60.0) -> None:
        self.access = access
        self.last_request_id = ""
        self._token = access.token
        self._http = httpx2.Client(timeout=httpx2.Timeout(timeout, connect=10.0), follow_redirects=False)

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def json(self, method: str, path: str, body: Any = None, /, *, key: str | None = None, **query: Any) -> Any:
        """The decoded answer, None for one without a body; a change is sent with an `Idempotency-Key`."""
        response = self.send(method, path, json=body, params=given(**query), key=key)
        return _decoded(response)

    def pages(
        self, path: str, noun: str, kind: type[T], limit: int | None = None, body: Any = None, /, **query: Any
    ) -> Iterator[T]:
        """All items of a list, or the first `limit`, a page a request; of one that a `body` asks for, by POST."""
        offset = 0
        while limit is None or offset < limit:
            size = _http.PAGE if limit is None else min(_http.PAGE, limit - offset)
            method = "GET" if body is None else "POST"
            page = self.json(method, path, body, limit=size, offset=offset, **query)
            for item in page[noun]:
                yield value(kind, item)
            offset += len(page[noun])
            if len(page[noun]) < size or offset >= page["total"]:
                return

    def following(self, path: str, noun: str, kind: type[T], limit: int | None = None) -> Iterator[T]:
        """The same of a list with a cursor, in few requests."""
        cursor, count = None, 0
        while limit is None or count < limit:
            size = _http.FOLLOWING if limit is None else min(_http.FOLLOWING, limit - count)
            page = self.json("GET", path, limit=size, after=cursor)
            for item in page[noun]:
                yield value(kind, item)
            count, cursor = count + len(page[noun]), page["next"]
            if cursor is None:
                return

    def begin(self, method: str, path: str, body: Any = None, /, **query: Any) -> Operation:
        """Ask for a change; the operation that was accepted."""
        response = self.send(method, path, json=body, params=given(**query), headers={"Prefer": "respond-async"})
        return value(Operation, _decoded(response))

    def wait(self, operation: Operation, timeout: float | None = None, tell: Tell | None = None) -> Operation:
        """The operation once it has ended, however. `tell` hears of it now and then; `WaitTimeout` past the timeout."""
        deadline = None if timeout is None else time.monotonic() + timeout
        held = 1.0 if tell else float(_http.HELD_SECONDS)
        while operation.is_live:
            if tell:
                tell(operation)
            left = held if deadline is None else min(held, deadline - time.monotonic())
            if left <= 0:
                raise WaitTimeout(
                    f"{operation.kind} of {operation.subject} is still {operation.state}; "
                    f"wait for operation {operation.id} again"
                )
            path = f"/operations/{operation.id}/wait"
            operation = value(Operation, self.json("GET", path, timeout=max(1, round(left))))
        if tell:
            tell(operation)
        return operation

    def change(
        self,
        method: str,
        path: str,
        body: Any = None,
        /,
        *,
        wait: bool,
        timeout: float | None,
        tell: Tell | None,
        **query: Any,
    ) -> Operation:
        """Ask for a change and, with `wait`, see it done; `OperationFailed` when it is not."""
        operation = self.begin(method, path, body, **query)
        if not wait:
            return operation
        return _http.succeeded(self.wait(operation, timeout, tell))

    def send(
        self,
        method: str,
        path: str,
        *,
        headers: Json | None = None,
        key: str | None = None,
        repeat: bool = True,
        **options: Any,
    ) -> httpx2.Response:
        """One answer that is no refusal. `repeat`: the body can be sent again if no answer comes."""
        keyed = method != "GET" and repeat
        sent = {**({"Idempotency-Key": key or _http.new_key()} if keyed else {}), **(headers or {})}
        attempt, fresh = 0, False
        while True:
            attempt += 1
            last = attempt >= _http.ATTEMPTS or not repeat
            try:
                authorized = {**sent, **self.authorization()}
                response = self._http.request(method, self._url(path), headers=authorized, **options)
            except httpx2.HTTPError as error:
                if last:
                    raise self._unreachable(error) from None
                time.sleep(_http.pause(attempt))
                continue
            self.last_request_id = response.headers.get("x-request-id", "")
            if response.status_code < 400:
                return response
            refusal = _http.failure(response.status_code, response.content, response.reason_phrase, response.headers)
            if isinstance(refusal, Unauthenticated) and self.access.password and not fresh and repeat:
                self._token, fresh = "", True
            elif last or not _http.may_repeat(response.status_code, method, keyed=keyed):
                raise refusal
            else:
                time.sleep(_http.pause(attempt, response.headers.get("retry-after")))

    @contextmanager
    def stream(self, path: str, headers: Json | None = None, /, **query: Any) -> Iterator[httpx2.Response]:
        """The answer to a GET, whose body is read as it comes."""
        sent = {**(headers or {}), **self.authorization()}
        try:
            with self._http.stream("GET", self._url(path), headers=sent, params=given(**query)) as response:
                if response.status_code >= 400:
                    content = response.read()
                    raise _http.failure(response.status_code, content, response.reason_phrase, response.headers)
                yield response
        except httpx2.HTTPError as error:
            raise self._unreachable(error) from None

    def authorization(self) -> dict[str, str]:
        """The header that says who calls; fetches a token where there is a name and a password."""
        if not self._token and self.access.password:
            body = {"username": self.access.username, "password": self.access.password}
            try:
                response = self._http.post(self._url("/auth/login"), json=body)
            except httpx2.HTTPError as error:
                raise self._unreachable(error) from None
            if response.status_code >= 400:
                raise _http.failure(response.status_code, response.content, response.reason_phrase, response.headers)
            self._token = str(_decoded(response)["access_token"])
        return {"Authorization": f"Bearer {self._token}"} if self._token else {}

    def refusal(self, status: int, content: bytes) -> ApiError:
        """The error of an answer that is no success."""
        return _http.failure(status, content, "refused", {})

    def socket_url(self, path: str) -> str:
        """Where a WebSocket is."""
        return self._url(path).replace("http", "ws", 1)

    def _url(self, path: str) -> str:
        return f"{self.access.url}{_http.PREFIX}{path}"

    def _unreachable(self, error: Exception) -> Unreachable:
        return Unreachable(f"{self.access.url} does not answer ({type(error).__name__}: {error})".replace(": )", ")"))


def _decoded(response: httpx2.Response) -> Any:
    if not response.content:
        return None
    try:
        return msgspec.json.decode(response.content)
    except (ValueError, RecursionError):
        raise Unreachable(f"{response.url.host} does not answer in JSON; is it a Corral API?") from None
